"""Calls of `grad` and `backward` whose arguments may override them by __torch_function__."""

from __future__ import annotations

from typing import Any

from torch.autograd.graph import GradientEdge
from torch.overrides import handle_torch_function, has_torch_function, is_tensor_like

from .. import _C

__all__ = ["backward", "grad"]


def _operands(argument: Any) -> tuple[Any, ...]:
    if is_tensor_like(argument) or isinstance(argument, GradientEdge):
        return (argument,)
    return tuple(argument.values() if type(argument) is dict else argument)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any,
    retain_graph: Any,
    create_graph: Any,
    only_inputs: Any,
    allow_unused: Any,
    is_grads_batched: Any,
    materialize_grads: Any,
) -> Any:
    """Offer a call of `libgrad.grad` to __torch_function__ of its operands, or run it."""
    outputs, flat = _operands(outputs), _operands(inputs)
    options = {
        "grad_outputs": grad_outputs,
        "retain_graph": retain_graph,
        "create_graph": bool(create_graph),
        "only_inputs": only_inputs is None or bool(only_inputs),
        "allow_unused": allow_unused,
        "is_grads_batched": bool(is_grads_batched),
        "materialize_grads": bool(materialize_grads),
    }
    relevant = tuple(t for t in outputs + flat if is_tensor_like(t))
    if has_torch_function(relevant):
        public: Any = _C.grad
        result = handle_torch_function(public, relevant, outputs, flat, **options)
    else:
        result = _C._grad(outputs, flat, **options)
    return dict(zip(inputs, result, strict=True)) if type(inputs) is dict else result


def backward(
    tensors: Any, grad_tensors: Any, retain_graph: Any, create_graph: Any, inputs: Any
) -> None:
    """Offer a call of `libgrad.backward` to __torch_function__ of its operands, or run it."""
    tensors = _operands(tensors)
    options = {
        "grad_tensors": grad_tensors,
        "retain_graph": retain_graph,
        "create_graph": bool(create_graph),
        "inputs": None if inputs is None else _operands(inputs),
    }
    relevant = tuple(t for t in tensors + (options["inputs"] or ()) if is_tensor_like(t))
    if has_torch_function(relevant):
        handle_torch_function(_C.backward, relevant, tensors, **options)
    else:
        _C._backward(tensors, **options)

"""What torch.compile traces in place of libgrad's modes, `grad` and `backward`: torch's own.

Relies on (covered by tests/grad/test_grad_compile.py): substitute_in_graph of torch._dynamo, which
takes a class, too, if it is told so; the one of torch.compiler does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .. import _C
from .._dynamo import on_dynamo
from . import modes

__all__: list[str] = []


def _no_grad(function: Any = None) -> Any:
    return torch.no_grad() if function is None else torch.no_grad(function)  # type: ignore[call-arg]


def _enable_grad(function: Any = None) -> Any:
    return torch.enable_grad() if function is None else torch.enable_grad(function)


def _set_grad_enabled(mode: bool) -> Any:
    return torch.set_grad_enabled(mode)


def _inference_mode(mode: Any = True) -> Any:
    return torch.inference_mode(mode)


def _grad_mode(enabled: bool) -> Any:
    return torch.enable_grad() if enabled else torch.no_grad()


def _is_grad_enabled() -> bool:
    return torch.is_grad_enabled()


def _is_inference_mode_enabled() -> bool:
    return torch.is_inference_mode_enabled()


def _grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: Any = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    given = tuple(inputs.values()) if isinstance(inputs, dict) else inputs
    result = torch.autograd.grad(
        outputs,
        given,
        grad_outputs,
        retain_graph,
        create_graph,
        only_inputs,
        allow_unused,
        is_grads_batched,
        materialize_grads,
    )
    return dict(zip(inputs, result, strict=True)) if isinstance(inputs, dict) else result


def _backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    options: dict[str, Any] = {"retain_graph": retain_graph, "create_graph": create_graph}
    if inputs is not None:  # torch takes None for an empty list here
        options["inputs"] = tuple(inputs.values()) if isinstance(inputs, dict) else inputs
    if isinstance(tensors, torch.Tensor) and grad_variables is None:  # torch traces the method
        tensors.backward(grad_tensors, **options)
        return
    torch.autograd.backward(tensors, grad_tensors, grad_variables=grad_variables, **options)


_TRACED: dict[Callable[..., Any], Callable[..., Any]] = {
    modes.no_grad: _no_grad,
    modes.enable_grad: _enable_grad,
    modes.set_grad_enabled: _set_grad_enabled,
    modes.inference_mode: _inference_mode,
    modes._grad_mode: _grad_mode,  # of what the modes decorated
    modes._inference_mode: _inference_mode,
    _C.is_grad_enabled: _is_grad_enabled,
    _C.is_inference_mode_enabled: _is_inference_mode_enabled,
    _C.grad: _grad,
    _C.backward: _backward,
}


def _substitute() -> None:
    from torch._dynamo.decorators import substitute_in_graph

    for ours, traced in _TRACED.items():
        substitute_in_graph(
            ours, skip_signature_check=True, is_embedded_type=isinstance(ours, type)
        )(traced)


on_dynamo(_substitute)

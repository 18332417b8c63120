"""`grad` and `backward`: the signatures of torch.autograd's, run by libgrad/grad.h."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from torch.overrides import handle_torch_function, has_torch_function, is_tensor_like

from . import _C

if TYPE_CHECKING:
    from torch import Tensor
    from torch.autograd.graph import GradientEdge

    Operands = Tensor | GradientEdge | Sequence[Tensor] | Sequence[GradientEdge]
    Seeds = Tensor | Sequence[Tensor | None]

__all__ = ["backward", "grad"]

K = TypeVar("K")


@overload
def grad(
    outputs: Operands,
    inputs: dict[K, Tensor],
    grad_outputs: Seeds | None = ...,
    retain_graph: bool | None = ...,
    create_graph: bool = ...,
    only_inputs: bool = ...,
    allow_unused: bool | None = ...,
    is_grads_batched: bool = ...,
    materialize_grads: bool = ...,
) -> dict[K, Tensor]: ...


@overload
def grad(
    outputs: Operands,
    inputs: Operands,
    grad_outputs: Seeds | None = ...,
    retain_graph: bool | None = ...,
    create_graph: bool = ...,
    only_inputs: bool = ...,
    allow_unused: bool | None = ...,
    is_grads_batched: bool = ...,
    materialize_grads: bool = ...,
) -> tuple[Tensor, ...]: ...


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Return the gradients of `outputs` with respect to `inputs`; ``.grad`` stays as it is.

    For each input this is the sum of vᵀJ over the outputs, of the input's shape, dtype and
    device. It is torch.autograd.grad, run by LibTorch's ``torch::autograd::grad``.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> libgrad.grad((x * x).sum(), x)
    (tensor([2., 4.]),)
    >>> libgrad.grad(x * x, {"x": x}, grad_outputs=torch.tensor([1.0, 10.0]))
    {'x': tensor([ 2., 40.])}

    Args:
        outputs: A tensor or a ``torch.autograd.graph.GradientEdge``, or a sequence of them.
        inputs: The same, or a dict of tensors; then the result is a dict with its keys.
        grad_outputs: The vectors v: for each output a tensor of its shape, dtype and device.
            None, alone or in the sequence, stands for a one where an output has one element.
        retain_graph: Keep what the graph saved, so that it can be differentiated again.
            None means the value of `create_graph`.
        create_graph: Record the gradients' own graph, so that they can be differentiated.
        only_inputs: Deprecated and ignored, as in torch.
        allow_unused: Give None for inputs that the outputs do not depend on, instead of an
            error. None means the value of `materialize_grads`.
        is_grads_batched: The first dimension of each of `grad_outputs` is a batch of vectors;
            the results have it in front.
        materialize_grads: Give zeros, instead of None, for inputs that are not used.

    Raises:
        RuntimeError: No graph behind an output, an input that does not require grad or is not
            used, a vector of the wrong shape or device, a graph that was freed.
        TypeError: Something that is not a tensor where one belongs.
        ValueError: Options that contradict each other.
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, please use libgrad.backward.",
            FutureWarning,
            stacklevel=2,
        )
    result = _C.grad(
        outputs,
        inputs,
        grad_outputs,
        retain_graph,
        create_graph,
        allow_unused,
        is_grads_batched,
        materialize_grads,
    )
    if result is not NotImplemented:
        return result
    return _grad_overridden(
        _operands(outputs),
        inputs,
        grad_outputs=grad_outputs,
        retain_graph=retain_graph,
        create_graph=create_graph,
        only_inputs=True,
        allow_unused=allow_unused,
        is_grads_batched=is_grads_batched,
        materialize_grads=materialize_grads,
    )


def backward(
    tensors: Operands,
    grad_tensors: Seeds | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Seeds | None = None,
    inputs: Operands | dict[Any, Tensor] | None = None,
) -> None:
    """Add the gradients of `tensors` to ``.grad`` of the graph's leaves.

    Gradients accumulate: a second call adds to the first, and zeroing them is yours. It is
    torch.autograd.backward, run by LibTorch's ``torch::autograd::backward``.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> libgrad.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    >>> libgrad.backward((x * x).sum())
    >>> x.grad
    tensor([4., 8.])

    Args:
        tensors: A tensor or a ``torch.autograd.graph.GradientEdge``, or a sequence of them.
        grad_tensors: The vectors to start from: for each of `tensors` one of its shape, dtype
            and device. None, alone or in the sequence, stands for a one where there is one
            element.
        retain_graph: Keep what the graph saved, so that it can be differentiated again.
            None means the value of `create_graph`.
        create_graph: Record the gradients' own graph. ``.grad`` then holds on to the graph,
            and the graph to the leaf: set ``.grad`` to None when done, or use `grad`.
        grad_variables: Deprecated name of `grad_tensors`, as in torch.
        inputs: Accumulate into these alone: a tensor (leaf or not), a GradientEdge, a sequence
            or a dict of them. None means every leaf.

    Raises:
        RuntimeError: As `grad`; also inside a torch.func transform. ``.grad`` is then untouched
            unless the engine had already started.
        TypeError: Something that is not a tensor where one belongs.
    """
    if grad_variables is not None:
        warnings.warn(
            "`grad_variables` is deprecated. Use `grad_tensors` instead.",
            FutureWarning,
            stacklevel=2,
        )
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to "
                "`backward()`. Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    result = _C.backward(tensors, grad_tensors, retain_graph, create_graph, inputs)
    if result is NotImplemented:
        _backward_overridden(
            _operands(tensors),
            grad_tensors=grad_tensors,
            retain_graph=retain_graph,
            create_graph=create_graph,
            inputs=None if inputs is None else _operands(inputs),
        )


def _operands(argument: Any) -> tuple[Any, ...]:
    """Return the operands in an argument as a tuple, as __torch_function__ expects them."""
    from torch.autograd.graph import GradientEdge

    if is_tensor_like(argument) or isinstance(argument, GradientEdge):
        return (argument,)
    return tuple(argument.values() if type(argument) is dict else argument)


def _grad_overridden(outputs: tuple[Any, ...], inputs: Any, **options: Any) -> Any:
    """Offer the call to __torch_function__; run it here when that declines."""
    flat = _operands(inputs)
    relevant = tuple(t for t in outputs + flat if is_tensor_like(t))
    if has_torch_function(relevant):
        result = handle_torch_function(grad, relevant, outputs, flat, **options)
    else:
        del options["only_inputs"]
        result = _C.grad(outputs, flat, *options.values(), dispatch=False)
    return dict(zip(inputs, result, strict=True)) if type(inputs) is dict else result


def _backward_overridden(tensors: tuple[Any, ...], **options: Any) -> None:
    """Offer the call to __torch_function__; run it here when that declines."""
    relevant = tuple(t for t in tensors + (options["inputs"] or ()) if is_tensor_like(t))
    if has_torch_function(relevant):
        handle_torch_function(backward, relevant, tensors, **options)
    else:
        _C.backward(tensors, *options.values(), dispatch=False)

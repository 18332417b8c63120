"""C++ Functions under the transforms of torch.func.

The rule is a torch.autograd.Function whose members call the members of the C++ struct one by one.
Tensors that `forward` saves are found again among the inputs and outputs of each level of
transforms; a saved tensor that is neither becomes one more output, which is not differentiable.

Relies on (covered by tests/function/test_function_transforms.py): the names that are imported below
from torch._functorch and torch.autograd.forward_ad.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch._C._functorch import (
    TransformType,
    _add_batch_dim,
    _unwrap_batched,
    _wrap_for_grad,
)
from torch._functorch.eager_transforms import _create_differentiable
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.autograd.forward_ad import _set_fwd_grad_enabled
from torch.utils._python_dispatch import _disable_current_modes

from .. import _C

_INPUT, _OUTPUT, _CONSTANT = 1, 2, 3


class _Tail:
    """What forward left in its context: the last output, which transforms pass on unchanged."""

    def __init__(self, left: _C.Leftover | Exception, outputs: int, constants: int = 0) -> None:
        self._left, self.outputs, self.constants = left, outputs, constants

    @property
    def left(self) -> _C.Leftover:
        if isinstance(self._left, Exception):
            raise self._left
        return self._left

    @property
    def non_differentiable(self) -> Sequence[int]:
        return () if isinstance(self._left, Exception) else self._left.non_differentiable


def apply(name: str, call: _C.Call) -> list[torch.Tensor]:
    """Return the outputs of `call` under the active transforms; its nodes are called `name`."""
    originals = call.tensors
    inputs = list(originals)
    for place in call.mutated:
        inputs[place] = inputs[place].clone()
    *all_outputs, tail = _rule(name, call.has_vmap).apply(call, *inputs)
    outputs: list[torch.Tensor] = all_outputs[: tail.outputs]
    for place, source in enumerate(tail.left.input_of_output if call.mutated else ()):
        if source in call.mutated:
            outputs[place] = originals[source].copy_(outputs[place])
    for place in tail.non_differentiable:  # torch's generated vmap rule does not keep the mark
        outputs[place] = outputs[place].detach()
    return outputs


@functools.cache
def _rule(name: str, has_vmap: bool) -> type[torch.autograd.Function]:
    """Return the class whose nodes are called `name`."""
    members = {"vmap": staticmethod(_vmap)} if has_vmap else {"generate_vmap_rule": True}
    return type(name, (_Rule,), members)


class _Rule(torch.autograd.Function):
    @staticmethod
    def forward(call: _C.Call, *inputs: torch.Tensor) -> tuple[Any, ...]:
        outputs, constants, left = call.forward(inputs)
        if set(left.dirty) - set(call.mutated):
            raise RuntimeError(
                f"{call.name}: torch.func met an in-place Function (mark_dirty) that does not "
                'say so; name what it changes where it is defined: libgrad::mutates("x")'
            )
        return (*outputs, *constants, _Tail(left, len(outputs), len(constants)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.call, tensors = inputs[0], inputs[1:]
        *outputs, ctx.tail = output
        constants = outputs[ctx.tail.outputs :]
        sources = {_INPUT: tensors, _OUTPUT: outputs, _CONSTANT: constants}
        left = ctx.tail.left
        saved = [sources[kind][place] if kind in sources else None for kind, place in left.saved]
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        ctx.outputs = [
            (output.shape, output.dtype, output.device) for output in outputs[: ctx.tail.outputs]
        ]
        ctx.places = [
            place
            for place, output in enumerate(outputs[: ctx.tail.outputs])
            if place not in left.non_differentiable and _is_differentiable(output)
        ]
        ctx.mark_non_differentiable(
            *(outputs[place] for place in left.non_differentiable), *constants
        )
        ctx.set_materialize_grads(left.materialize)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        needs = list(ctx.needs_input_grad[1:])
        gradients = ctx.call.backward(
            ctx.tail.left, ctx.saved_tensors, grads[: ctx.tail.outputs], needs
        )
        return (None, *gradients)

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        # The engine calls this method with forward mode off for every level, so that an outer jvp
        # would silently lose its tangents (pytorch/pytorch#197867). Forward mode is switched on
        # again, and this level's own tangents are removed from the saved tensors.
        with _set_fwd_grad_enabled(True):
            result = _jvp(ctx, tangents[1:])
        return (*result, *(None for _ in range(ctx.tail.constants)), None)


def _jvp(ctx: Any, tangents: Sequence[torch.Tensor | None]) -> Sequence[torch.Tensor | None]:
    call, left = ctx.call, ctx.tail.left
    saved: list[torch.Tensor | None] = [
        None if tensor is None else _without_tangent(tensor) for tensor in ctx.saved_tensors
    ]
    if call.has_jvp:
        result: Sequence[torch.Tensor | None] = call.jvp(left, saved, tangents, ctx.tail.outputs)
        return result
    return _pushed(ctx, saved, tangents)


def _pushed(
    ctx: Any, saved: Sequence[torch.Tensor | None], tangents: Sequence[torch.Tensor | None]
) -> Sequence[torch.Tensor | None]:
    """Push `tangents` forward by means of backward.

    backward(u) is linear in the vector u, so the derivative of <backward(u), tangents> with respect
    to u is the Jacobian times the tangents.
    """
    call, left = ctx.call, ctx.tail.left
    pushed = [tangent for tangent in tangents if tangent is not None]
    places: list[int] = ctx.places
    if not pushed or not places:
        return [None] * ctx.tail.outputs
    zeros = [
        torch.zeros(shape, dtype=dtype, device=device)
        if left.materialize or place in places
        else None
        for place, (shape, dtype, device) in enumerate(ctx.outputs)
    ]

    def pull(*primals: torch.Tensor) -> tuple[torch.Tensor, ...]:
        grads: list[torch.Tensor | None] = list(zeros)
        vectors = [primal.clone() for primal in primals]  # backward may change them in place
        for place, vector in zip(places, vectors, strict=True):
            grads[place] = vector
        needs = [tangent is not None for tangent in tangents]
        gradients = call.backward(left, _asking_grad(ctx, saved, needs), grads, needs)
        for gradient, needed in zip(gradients, needs, strict=True):
            if not needed or gradient is None or _C.depends_on(gradient, vectors):
                continue
            if _is_true(gradient):
                raise NotImplementedError(f"{call.name}{_C.CANNOT_PUSH}")
        return tuple(
            torch.zeros_like(tangent) if gradient is None else gradient
            for gradient, tangent in zip(gradients, tangents, strict=True)
            if tangent is not None
        )

    probes = [_C.probe(zero) for i, zero in enumerate(zeros) if zero is not None and i in places]
    gradients, push, *_ = torch.func.vjp(pull, *probes)
    columns = push(tuple(pushed))
    wrong = _C.mismatch(gradients, pushed, probes, columns)
    if wrong is not None and _is_true(wrong):
        raise NotImplementedError(f"{call.name}{_C.CANNOT_PUSH}")
    rest = iter(columns)
    return [next(rest) if i in places else None for i in range(ctx.tail.outputs)]


def _asking_grad(
    ctx: Any, saved: Sequence[torch.Tensor | None], needs: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Return `saved` with the requires_grad that backward would read in a plain call."""
    level = retrieve_current_functorch_interpreter().level()
    result = list(saved)
    for i, (kind, place) in enumerate(ctx.tail.left.saved):
        tensor = saved[i]
        asks = (kind == _INPUT and needs[place]) or (kind == _OUTPUT and place in ctx.places)
        if tensor is not None and asks and _is_differentiable(tensor):
            result[i] = _create_differentiable(_wrap_for_grad(tensor, level), level)
    return result


def _is_true(tensor: torch.Tensor) -> bool:
    """Return True when an entry is not zero, at any level; False where entries cannot be read."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    if type(tensor) is not torch.Tensor or tensor.device.type == "meta":
        return False
    with _disable_current_modes():  # a tracer must not record this
        return bool(tensor.any())


def _vmap(
    info: Any, in_dims: tuple[Any, ...], call: _C.Call, *inputs: torch.Tensor
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Run the struct's own vmap, whose body is differentiated operator by operator."""
    outputs, out_dims = call.vmap(in_dims[1:], inputs, info.batch_size, info.randomness)

    try:
        left: _C.Leftover | Exception = _left_of_a_sample(in_dims[1:], call, inputs)
    except Exception as error:  # raised only if a transform reads `left`
        left = error
    return (*outputs, _Tail(left, len(outputs))), (*out_dims, None)


def _left_of_a_sample(
    in_dims: Sequence[int | None], call: _C.Call, inputs: Sequence[torch.Tensor]
) -> _C.Leftover:
    """Return what forward leaves for backward, by a call with the first element of the batch."""
    sample = [
        x if dim is None else x.sum(dim) if x.shape[dim] == 0 else x.select(dim, 0)
        for x, dim in zip(inputs, in_dims, strict=True)
    ]
    _, constants, left = call.forward(sample)
    if constants:
        raise RuntimeError(
            f"{call.name}: its vmap returns the outputs alone, but forward saves for backward "
            f"{len(constants)} tensor(s) that are neither inputs nor outputs; save inputs and "
            "outputs, or return what is saved as one more output"
        )
    return left


def _is_differentiable(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _without_tangent(tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor` without the tangent of the level whose jvp runs.

    _unpack_dual has no batching rule, so the levels of vmap above are removed and put back.
    """
    if torch._C._are_functorch_transforms_active():
        interpreter = retrieve_current_functorch_interpreter()
        if interpreter.key() == TransformType.Vmap:
            batch, dim = _unwrap_batched(tensor, interpreter.level())
            with interpreter.lower():
                inner = _without_tangent(batch)
            return inner if dim is None else _add_batch_dim(inner, dim, interpreter.level())
    return torch._unpack_dual(tensor, level=0)[0]

"""Rows of the group "batch": batches, against a loop over their members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..case import Case
from ..compare import NotApplicable, compare
from ..inputs import fresh
from ..numeric import analytic_jacobian, flat_function, real_flat
from ..registry import row
from .autograd import gradient_label, output
from .func import argnums

__all__: list[str] = []

Tensors = Sequence[Tensor]


def members(case: Case, count: int) -> list[list[Tensor]]:
    """Return `count` sets of tensors: the inputs, and copies with up to a tenth less in each entry.

    Entries keep their sign and never grow, so that the function is likely defined for them. Where
    it is not (a matrix has to be positive definite), all entries shrink alike.
    """
    found = [case.copies()]
    for n in range(1, count):
        shrink = case.random_like(case.diff, 100 + n)
        factors = [1 - 0.1 * torch.tanh(r.real).abs() for r in shrink]
        found.append(_scaled(case, factors))
    try:
        with torch.no_grad():
            for each in found:
                case.call([fresh(t) for t in each])
    except Exception:
        found[1:] = [_scaled(case, [1 - 0.05 * n] * len(case.diff)) for n in range(1, count)]
    return found


def _scaled(case: Case, factors: Sequence[Any]) -> list[Tensor]:
    pairs = zip(case.primals(), factors, strict=True)
    return [fresh(t) for t in case.with_diff([(x * f).to(x.dtype) for x, f in pairs])]


def stack(of: Sequence[Tensors], dim: int = 0) -> list[Tensor]:
    """Return the members of a batch, tensor by tensor, stacked."""
    return [torch.stack(list(each), dim) for each in zip(*of, strict=True)]


def loop(f: Callable[..., Tensors], of: Sequence[Tensors]) -> list[Tensor]:
    """Return the results of `f` for each member, stacked."""
    return stack([[t.detach() for t in f(*[fresh(t) for t in each])] for each in of])


def _all(case: Case) -> Callable[..., tuple[Tensor, ...]]:
    if not case.tensors:
        raise NotApplicable("there is no tensor to batch")
    return lambda *tensors: case.call(tensors)


def _same(case: Case, got: Tensors, expected: Tensors, where: str = "") -> str:
    tidy = [t.detach() for t in got]
    compare(
        tidy, expected, lambda i: f"{output(i)}{where} (first index: batch)", case.options.tolerance
    )
    return ""


@row("vmap", "batch")
def vmap(case: Case) -> str:
    """Run torch.func.vmap over the first dimension, against a loop."""
    f, of = _all(case), members(case, 3)
    return _same(case, torch.func.vmap(f)(*stack(of)), loop(f, of))


@row("vmap in_dims=-1", "batch")
def vmap_last(case: Case) -> str:
    """Batch along the last dimension of inputs and outputs, against a loop."""
    f, of = _all(case), members(case, 3)
    expected = loop(f, of)
    try:
        got = torch.func.vmap(f, in_dims=-1, out_dims=-1)(*stack(of, -1))
    except RuntimeError:  # torch raises it where an output is the same for the whole batch
        return _same(case, torch.func.vmap(f, in_dims=-1)(*stack(of, -1)), expected)
    return _same(case, [t.movedim(-1, 0) for t in got], expected)


@row("vmap of some inputs", "batch")
def vmap_some(case: Case) -> str:
    """Batch one input at a time, and not the others, against a loop."""
    f, of = _all(case), members(case, 3)
    if len(case.tensors) == 1:
        raise NotApplicable("there is one tensor")
    for i in range(min(len(case.tensors), 8)):
        partly = [[*of[0][:i], each[i], *of[0][i + 1 :]] for each in of]
        batch = [*of[0][:i], stack(of)[i], *of[0][i + 1 :]]
        dims = tuple(0 if j == i else None for j in range(len(batch)))
        got = torch.func.vmap(f, in_dims=dims)(*[fresh(t) for t in batch])
        _same(case, got, loop(f, partly), f" with only input {case.names[i]} batched")
    return ""


@row("nested vmap", "batch")
def nested_vmap(case: Case) -> str:
    """Run vmap in vmap, against two loops."""
    f, of = _all(case), members(case, 6)
    halves = [stack(of[:3]), stack(of[3:])]
    got = torch.func.vmap(torch.func.vmap(f))(*stack(halves))
    return _same(case, got, stack([loop(f, of[:3]), loop(f, of[3:])]))


@row("chunked vmap", "batch")
def chunked_vmap(case: Case) -> str:
    """Run vmap in chunks of two, against a loop."""
    f, of = _all(case), members(case, 3)
    return _same(case, torch.func.vmap(f, chunk_size=2)(*stack(of)), loop(f, of))


def _diff_members(case: Case, count: int = 3) -> list[list[Tensor]]:
    case.need_outputs()
    return [[each[i] for i in case.diff_at] for each in members(case, count)]


def eager_grads(case: Case) -> Callable[..., list[Tensor]]:
    """Return the gradients of `case.scalar` by eager backward, as a function."""

    def run(*diff: Tensor) -> list[Tensor]:
        leaves = [x.requires_grad_() for x in diff]
        return list(
            torch.autograd.grad(
                case.scalar(*leaves), leaves, allow_unused=True, materialize_grads=True
            )
        )

    return run


def _grads_same(case: Case, got: Tensors, expected: Tensors) -> str:
    label = lambda i: f"{gradient_label(case, i)} (first index: batch)"
    compare([t.detach() for t in got], expected, label, case.options.tolerance)
    return ""


@row("vmap(grad)", "batch")
def vmap_of_grad(case: Case) -> str:
    """Run per-member gradients, against a loop of eager backwards."""
    of = _diff_members(case)
    got = torch.func.vmap(torch.func.grad(case.scalar, argnums(case)))(*stack(of))
    return _grads_same(case, got, loop(eager_grads(case), of))


@row("grad(vmap)", "batch")
def grad_of_vmap(case: Case) -> str:
    """Run the gradient of a batch, against a loop of eager backwards."""
    of = _diff_members(case)
    total = lambda *batch: torch.func.vmap(case.scalar)(*batch).sum()
    got = torch.func.grad(total, argnums(case))(*stack(of))
    return _grads_same(case, got, loop(eager_grads(case), of))


@row("backward of vmap", "batch")
def backward_of_vmap(case: Case) -> str:
    """Run an ordinary backward through vmap, against a loop of eager backwards."""
    of = _diff_members(case)
    leaves = [t.requires_grad_() for t in stack(of)]
    total = torch.func.vmap(case.scalar)(*leaves).sum()
    got = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    return _grads_same(case, got, loop(eager_grads(case), of))


@row("vmap(jvp)", "batch")
def vmap_of_jvp(case: Case) -> str:
    """Run per-member tangents, against a loop of eager Jacobians times vectors."""
    of = _diff_members(case)
    flat, zs, expected = _flat_loop(case, of)
    v = real_flat(case.direction)

    def push(z: Tensor, t: Tensor) -> Tensor:
        found: Any = torch.func.jvp(flat, (z,), (t,))
        return found[1]  # type: ignore[no-any-return]

    got = torch.func.vmap(push)(zs, v.expand_as(zs).contiguous())
    return _flat_same(case, got, expected @ v)


@row("jvp(vmap)", "batch")
def jvp_of_vmap(case: Case) -> str:
    """Run the tangent of a batch, against a loop of eager Jacobians times vectors."""
    of = _diff_members(case)
    flat, zs, expected = _flat_loop(case, of)
    v = real_flat(case.direction)
    got = torch.func.jvp(torch.func.vmap(flat), (zs,), (v.expand_as(zs).contiguous(),))[1]
    return _flat_same(case, got, expected @ v)


def _flat_loop(case: Case, of: Sequence[Tensors]) -> tuple[Any, Tensor, Tensor]:
    """Return the flat function, its batched input, and its Jacobians by eager backward."""
    case.need_small(sum(t.numel() for t in [*case.diff, *case.diff_outputs]), "in- and outputs")
    flat = flat_function(case.pure, case.primals())
    zs = torch.stack([real_flat(each) for each in of])
    return flat, zs, torch.stack([analytic_jacobian(flat, z) for z in zs])


def _flat_same(case: Case, got: Tensor, expected: Tensor) -> str:
    label = lambda _: "flat result (first index: batch)"
    compare([got.detach()], [expected], label, case.options.tolerance, dtypes=False)
    return ""


@row("vmap(jacrev)", "batch")
def vmap_of_jacrev(case: Case) -> str:
    """Run per-member Jacobians by reverse mode, against a loop."""
    flat, zs, expected = _flat_loop(case, _diff_members(case))
    return _flat_same(case, torch.func.vmap(torch.func.jacrev(flat))(zs), expected)


@row("vmap(jacfwd)", "batch")
def vmap_of_jacfwd(case: Case) -> str:
    """Run per-member Jacobians by forward mode, against a loop."""
    flat, zs, expected = _flat_loop(case, _diff_members(case))
    return _flat_same(case, torch.func.vmap(torch.func.jacfwd(flat))(zs), expected)


def _hessians(case: Case, count: int) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    case.need_small(count * sum(t.numel() for t in case.diff), "batched inputs")
    of = _diff_members(case, count)
    both = flat_function(lambda *diff: [case.scalar(*diff)], case.primals())

    def scalar(z: Tensor) -> Tensor:
        return both(z)[0]

    def gradient(at: Tensor) -> Tensor:
        return torch.autograd.grad(scalar(at), at, create_graph=True)[0]

    zs = torch.stack([real_flat(each) for each in of])
    return scalar, zs, torch.stack([analytic_jacobian(gradient, z) for z in zs])


@row("vmap(hessian)", "batch")
def vmap_of_hessian(case: Case) -> str:
    """Run per-member Hessians, against a loop of double backwards."""
    scalar, zs, expected = _hessians(case, 3)
    return _flat_same(case, torch.func.vmap(torch.func.hessian(scalar))(zs), expected)


@row("hessian(vmap)", "batch")
def hessian_of_vmap(case: Case) -> str:
    """Run the Hessian of a batch: the members' Hessians on its diagonal, zeros elsewhere."""
    scalar, zs, blocks = _hessians(case, 2)
    total = lambda z: torch.func.vmap(scalar)(z).sum()
    got = torch.func.hessian(total)(zs)
    expected = torch.zeros_like(got)
    for i, block in enumerate(blocks):
        expected[i, :, i, :] = block
    return _flat_same(case, got, expected)

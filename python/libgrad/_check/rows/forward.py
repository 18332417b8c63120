"""Rows of the group "dual": dual numbers, against reverse mode."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.autograd.forward_ad as fwAD
from torch import Tensor

from ..case import Case, real_dot
from ..compare import Wrong, compare, number
from ..numeric import derivative
from ..registry import row
from .autograd import diff_output

__all__ = ["tangents_by_reverse", "tangents_must_be"]


def tangents_by_reverse(case: Case) -> list[Tensor]:
    """Return J v of every differentiable output, each entry by a backward of its own."""
    case.need_outputs()
    case.need_small(sum(t.numel() for t in case.diff_outputs), "outputs")
    leaves = case.leaves()
    outputs = case.pure(*leaves)
    found = []
    for y in outputs:
        entries = []
        for i in range(y.numel()):
            parts = [
                _slope(case, y, i, unit, leaves) for unit in ((1, 1j) if y.is_complex() else (1,))
            ]
            entries.append(torch.complex(*parts) if y.is_complex() else parts[0])
        flat = torch.stack(entries) if entries else y.detach().reshape(-1)
        found.append(flat.reshape(y.shape).to(y.dtype))
    return found


def _slope(case: Case, y: Tensor, i: int, unit: complex, leaves: Sequence[Tensor]) -> Tensor:
    """Return the real or imaginary part of one entry of J v."""
    seed = torch.zeros_like(y, memory_format=torch.contiguous_format)
    seed.view(-1).select(0, i).fill_(unit)
    grads = torch.autograd.grad(y, leaves, seed, retain_graph=True, allow_unused=True)
    pairs = [(g, v) for g, v in zip(grads, case.direction, strict=True) if g is not None]
    if not pairs:
        return torch.zeros((), dtype=y.dtype.to_real(), device=y.device)
    return real_dot([g for g, _ in pairs], [v for _, v in pairs]).to(y.dtype.to_real())


def tangents_must_be(
    case: Case, got: Sequence[Tensor | None], expected: Sequence[Tensor], what: str = "tangent"
) -> None:
    """Compare tangents; the error says so where a tangent is missing or zero but must not be.

    Raises:
        Wrong: They differ.
    """
    for i, (t, e) in enumerate(zip(got, expected, strict=True)):
        if not e.numel() or not e.abs().max() > 0:
            continue
        silent = "no tangent (None)" if t is None else "a tangent of zeros" * (not t.any())
        if silent:
            size = number(e.abs().max().item())
            raise Wrong(
                f"{diff_output(case, i)} has {silent}, silently; expected up to {size}: "
                "forward mode is not defined for an operator in fn, and nothing says so"
            )
    label = lambda i: f"{what} of {diff_output(case, i)}"
    compare(got, expected, label, case.options.tolerance)


@row("forward mode", "dual")
def forward_mode(case: Case) -> None:
    """Push dual numbers through `fn`, against J v by reverse mode."""
    expected = tangents_by_reverse(case)
    for requires_grad in (False, True):
        with fwAD.dual_level():
            primals = [x.requires_grad_(requires_grad) for x in case.primals()]
            duals = [fwAD.make_dual(x, v) for x, v in zip(primals, case.direction, strict=True)]
            got = [fwAD.unpack_dual(y) for y in case.pure(*duals)]
            tangents = [None if y.tangent is None else y.tangent.detach() for y in got]
            values = [y.primal.detach() for y in got]
        tangents_must_be(case, tangents, expected)
        label = lambda i: diff_output(case, i)
        compare(values, case.diff_outputs, label, case.options.tolerance)


@row("forward over reverse", "dual")
def forward_over_reverse(case: Case) -> None:
    """Run backward on dual numbers, against double backward."""
    case.need_outputs()
    expected = derivative(case, [case.direction])(*case.diff)
    with fwAD.dual_level():
        duals = [fwAD.make_dual(x, v) for x, v in zip(case.leaves(), case.direction, strict=True)]
        grads = torch.autograd.grad(case.scalar(*duals), duals, allow_unused=True)
        tangents = [None if g is None else fwAD.unpack_dual(g).tangent for g in grads]
        tangents = [None if t is None else t.detach() for t in tangents]
    label = lambda i: f"tangent of the gradient of {case.label_input(i)}"
    compare(tangents, expected, label, case.options.tolerance)


@row("reverse over forward", "dual")
def reverse_over_forward(case: Case) -> None:
    """Differentiate the tangent by reverse mode, against double backward."""
    case.need_outputs()
    expected = derivative(case, [case.direction])(*case.diff)
    with fwAD.dual_level():
        leaves = case.leaves()
        duals = [fwAD.make_dual(x, v) for x, v in zip(leaves, case.direction, strict=True)]
        tangent = fwAD.unpack_dual(case.scalar(*duals)).tangent
        if tangent is None:
            raise Wrong("the result has no tangent (None), silently")
        grads: Sequence[Tensor | None] = [None] * len(leaves)  # for a constant tangent
        if tangent.requires_grad:
            grads = torch.autograd.grad(tangent, leaves, allow_unused=True)
        found = [None if g is None else fwAD.unpack_dual(g).primal.detach() for g in grads]
    label = lambda i: f"gradient of the tangent by {case.label_input(i)}"
    compare(found, expected, label, case.options.tolerance)

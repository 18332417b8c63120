"""Derivatives by finite differences, and those of eager reverse mode to compare them with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .case import Case, filled, real_dot
from .compare import NotApplicable, Tolerance, Wrong, compare, got_expected, place

__all__ = [
    "along",
    "analytic_jacobian",
    "derivative",
    "differences",
    "flat_function",
    "numeric_case",
    "real_flat",
    "worst_entry",
]

Function = Callable[..., Sequence[Tensor]]

# The step that balances rounding and truncation, then rtol and atol for the digits that remain.
_STEPS = {torch.float64: (1e-6, 1e-3, 1e-5), torch.float32: (5e-3, 2e-2, 2e-2)}


def numeric_case(case: Case) -> tuple[Case, float, Tolerance]:
    """Return the case for finite differences, the step, and the tolerance.

    Raises:
        NotApplicable: The inputs have only half precision, and `fn` does not support float64.
    """
    best = case.double or case
    reals = {t.dtype.to_real() for t in [*best.diff, *best.diff_outputs]}
    if not reals <= set(_STEPS):
        raise NotApplicable(f"too few digits for differences, and float64: {case.why_no_double}")
    step, rtol, atol = max(_STEPS[dtype] for dtype in reals)
    given = case.options.tolerance
    return best, step, Tolerance(max(rtol, given.rtol or 0), max(atol, given.atol or 0))


def along(f: Function, at: Sequence[Tensor], direction: Sequence[Tensor], h: float) -> list[Tensor]:
    """Return the derivative of `f` along a direction, by a central difference."""
    ahead = f(*[x + h * v for x, v in zip(at, direction, strict=True)])
    behind = f(*[x - h * v for x, v in zip(at, direction, strict=True)])
    return [(a.detach() - b.detach()) / (2 * h) for a, b in zip(ahead, behind, strict=True)]


def differences(
    f: Function, at: Sequence[Tensor], directions: Sequence[Sequence[Tensor]], step: float
) -> list[Tensor]:
    """Return the derivative of `f` along one direction, or the second derivative along two."""
    if len(directions) == 1:
        return along(f, at, directions[0], step)
    h = step ** (2 / 3)  # the rounding error is divided by h * h
    first = lambda *x: along(f, x, directions[0], h)
    return along(first, at, directions[1], h)


def derivative(case: Case, directions: Sequence[Sequence[Tensor]]) -> Function:
    """Return the gradient of `case.scalar`, differentiated once per direction, as a function."""

    def run(*at: Tensor) -> list[Tensor]:
        leaves = [x.detach().clone().requires_grad_() for x in at]
        grads = _gradient(case.scalar(*leaves), leaves, bool(directions))
        for i, direction in enumerate(directions):
            grads = _gradient(real_dot(grads, direction), leaves, i + 1 < len(directions))
        return [g.detach() for g in grads]

    return run


def _gradient(of: Tensor, leaves: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    if not of.requires_grad:  # `of` is constant
        return [torch.zeros_like(x) for x in leaves]
    grads = torch.autograd.grad(of, leaves, create_graph=create_graph, allow_unused=True)
    pairs = zip(grads, leaves, strict=True)
    return [torch.zeros_like(x) if g is None else g for g, x in pairs]


def _real(t: Tensor) -> Tensor:
    if t.is_complex():
        t = t.resolve_conj()
        t = torch.stack([t.real, t.imag], -1)
    return t.reshape(-1)


def real_flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return all entries, complex ones as two numbers, in one vector."""
    return torch.cat([_real(t) for t in tensors])


def flat_function(f: Function, at: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return `f` as a function from `real_flat` of its inputs to `real_flat` of its outputs."""
    sizes = [x.numel() * (2 if x.is_complex() else 1) for x in at]

    def run(z: Tensor) -> Tensor:
        parts, start = [], 0
        for x, size in zip(at, sizes, strict=True):
            part = z[start : start + size].to(x.dtype.to_real())
            start += size
            if x.is_complex():
                # not view_as_complex, which requires even strides, also of batched gradients
                part = part.reshape(*x.shape, 2)
                part = part[..., 0] + 1j * part[..., 1]
            parts.append(part.reshape(x.shape))
        return real_flat(f(*parts))

    return run


def analytic_jacobian(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the Jacobian of a flat function by eager reverse mode, with a backward per row."""
    leaf = z.detach().clone().requires_grad_()
    y = f(leaf)
    rows = []
    for i in range(y.numel()):
        seed = torch.zeros_like(y)
        seed[i] = 1
        grads = (
            torch.autograd.grad(y, leaf, seed, retain_graph=True, allow_unused=True)
            if y.requires_grad
            else (None,)
        )
        rows += filled(grads, [leaf])
    return torch.stack(rows) if rows else z.new_zeros(0, z.numel())


def where(flat: int, tensors: Sequence[Tensor], label: Callable[[int], str]) -> str:
    """Return the name of the tensor and the index of the entry at a position of `real_flat`."""
    for i, t in enumerate(tensors):
        size = t.numel() * (2 if t.is_complex() else 1)
        if flat < size:
            part = (" (real part)", " (imaginary part)")[flat % 2] if t.is_complex() else ""
            index = place(flat // 2 if t.is_complex() else flat, t.shape)
            return f"{label(i)}, entry {index}{part}" if t.dim() else f"{label(i)}{part}"
        flat -= size
    raise IndexError(flat)


def compare_jacobian(
    got: Tensor,
    expected: Tensor,
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    labels: tuple[Callable[[int], str], Callable[[int], str]],
    tolerance: Tolerance,
) -> None:
    """Compare two flat Jacobians.

    Raises:
        Wrong: They differ; the text names the entries of the output and of the input.
    """
    if got.shape != expected.shape:
        raise Wrong(f"Jacobian: got shape {list(got.shape)}, expected {list(expected.shape)}")
    try:
        compare([got], [expected], lambda _: "", tolerance, dtypes=False)
    except Wrong:
        excess = (got - expected).abs() / (1 + expected.abs())
        excess = excess.double().nan_to_num(torch.inf, torch.inf)
        row, column = place(int(excess.argmax()), got.shape)
        a, b = got[row, column].item(), expected[row, column].item()
        raise Wrong(
            f"derivative of {where(row, outputs, labels[0])} by "
            f"{where(column, inputs, labels[1])}: {got_expected(a, b)}"
        ) from None


def worst_entry(
    f: Function,
    at: Sequence[Tensor],
    labels: tuple[Callable[[int], str], Callable[[int], str]],
    step: float,
    tolerance: Tolerance,
) -> None:
    """Compare the whole Jacobian by reverse mode with the Jacobian by differences.

    Raises:
        Wrong: They differ; the text says where.
    """
    flat, z = flat_function(f, at), real_flat(at).detach()
    columns = []
    for i in range(z.numel()):
        unit = torch.zeros_like(z)
        unit[i] = 1
        columns += along(lambda each: [flat(each)], [z], [unit], step)
    outputs = [t.detach() for t in f(*at)]
    numeric = torch.stack(columns, 1)
    compare_jacobian(analytic_jacobian(flat, z), numeric, outputs, at, labels, tolerance)

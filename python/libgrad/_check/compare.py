"""Compares tensors with the expected ones, and describes where they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "NotApplicable",
    "Tolerance",
    "Wrong",
    "compare",
    "describe",
    "got_expected",
    "identical",
    "number",
    "place",
]


class Wrong(Exception):
    """The result of a mode is wrong: the text says where and by how much."""


class NotApplicable(Exception):
    """A mode has nothing to run: the text says why."""


# Modes do the same arithmetic in another order (one batched matmul for a loop of matmuls).
_BY_DTYPE = {
    torch.float64: (1e-7, 1e-9),
    torch.float32: (1e-4, 1e-5),
    torch.float16: (1e-2, 2e-3),
    torch.bfloat16: (5e-2, 2e-2),
}


@dataclass(frozen=True)
class Tolerance:
    """The allowed difference of two numbers: ``atol * max(1, scale) + rtol * |expected|``.

    The scale is the largest finite magnitude in the expected tensor. An rtol or atol of None is
    chosen by the dtype of the comparison.
    """

    rtol: float | None = None
    atol: float | None = None
    factor: float = 1.0

    def times(self, factor: float) -> Tolerance:
        """Return a tolerance that is wider by a factor, for numbers that have lost digits."""
        if self.rtol is not None or self.atol is not None:
            return self
        return Tolerance(factor=self.factor * factor)

    def of(self, dtype: torch.dtype) -> tuple[float, float]:
        """Return rtol and atol for numbers of `dtype`."""
        real = dtype.to_real() if dtype.is_complex else dtype
        rtol, atol = _BY_DTYPE.get(real, (0.0, 0.0))
        return (
            rtol * self.factor if self.rtol is None else self.rtol,
            atol * self.factor if self.atol is None else self.atol,
        )


def number(value: complex) -> str:
    """Return a number in six digits."""
    if isinstance(value, complex):
        return f"{value.real:.6g}{value.imag:+.6g}j"
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def got_expected(got: complex, expected: complex) -> str:
    """Return a description of two numbers that differ, with as many digits as it takes."""
    if number(got) == number(expected):
        return f"got {got!r}, expected {expected!r}"
    return f"got {number(got)}, expected {number(expected)}"


def place(flat: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the index of the entry at position `flat` of a contiguous tensor."""
    index = []
    for size in reversed(shape):
        index.append(flat % size)
        flat //= size
    return tuple(reversed(index))


def describe(t: Tensor) -> str:
    """Return a tensor's dtype and shape: ``float64 [3, 4]``."""
    return f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}"


def identical(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are equal bit for bit, NaN for NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    with torch.no_grad():
        return bool(((a == b) | ((a != a) & (b != b))).all())


def compare(
    got: Sequence[Tensor | None],
    expected: Sequence[Tensor],
    label: Callable[[int], str],
    tolerance: Tolerance,
    *,
    dtypes: bool = True,
) -> None:
    """Compare tensor by tensor; None stands for zeros.

    Raises:
        Wrong: They differ; the text names the tensor by `label` and the entry that is furthest off.
    """
    if len(got) != len(expected):
        raise Wrong(f"{len(got)} results, expected {len(expected)}")
    worst: tuple[float, str] | None = None
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        if a is None:
            a, missing = torch.zeros_like(b), "None"
        else:
            missing = ""
        if a.shape != b.shape:
            raise Wrong(f"{label(i)}: got shape {list(a.shape)}, expected {list(b.shape)}")
        if dtypes and a.dtype != b.dtype:
            raise Wrong(f"{label(i)}: got {describe(a)}, expected {describe(b)}")
        found = _furthest(a, b, tolerance)
        if found is not None and (worst is None or found[0] > worst[0]):
            worst = found[0], _words(label(i), a, b, found[1], found[2], missing)
    if worst is not None:
        raise Wrong(worst[1])


def _words(label: str, a: Tensor, b: Tensor, flat: int, count: int, missing: str) -> str:
    got, want = a.reshape(-1)[flat].item(), b.reshape(-1)[flat].item()
    entry = f", entry {place(flat, b.shape)}" if b.dim() else ""
    more = f" ({count} of {b.numel()} entries are off)" if b.numel() > 1 else ""
    difference = "" if missing or isinstance(got, bool) else f", off by {number(abs(got - want))}"
    words = f"got None, expected {number(want)}" if missing else got_expected(got, want)
    return f"{label}{entry}: {words}{difference}{more}"


def _furthest(a: Tensor, b: Tensor, tolerance: Tolerance) -> tuple[float, int, int] | None:
    """Return the worst entry's excess over the tolerance, its index, and the number of bad ones."""
    if b.numel() == 0:
        return None
    rtol, atol = map(max, tolerance.of(a.dtype), tolerance.of(b.dtype))
    wide = torch.complex128 if b.is_complex() else torch.float64
    a, b = (t.detach().cpu().to(wide).resolve_conj().reshape(-1) for t in (a, b))
    finite = b[torch.isfinite(b)].abs()
    scale = max(1.0, finite.max().item()) if finite.numel() else 1.0
    same = (a == b) | (a.isnan() & b.isnan())
    beyond = (a - b).abs() - (atol * scale + rtol * b.abs())
    beyond = torch.where(same, torch.full_like(beyond, -torch.inf), beyond)
    # not (beyond <= 0): a NaN or an infinity on only one side counts as the worst
    off = ~(beyond <= 0)
    off |= ~same & ~torch.isfinite(b)
    if not off.any():
        return None
    rank = torch.where(off, beyond.nan_to_num(torch.inf, torch.inf, torch.inf), -torch.inf)
    flat = int(rank.argmax())
    return rank[flat].item(), flat, int(off.sum())

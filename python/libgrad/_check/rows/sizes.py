"""Rows of the group "inputs": tensors without entries, and tensors in other precisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..case import Case, first_line
from ..compare import NotApplicable, Tolerance, Wrong, compare, describe
from ..inputs import differentiable, fresh
from ..registry import row
from .autograd import gradient_label, output, reference_case

__all__: list[str] = []


def _empties(tensors: Sequence[Tensor]) -> Iterator[tuple[str, list[Tensor]]]:
    """Return sets of tensors without entries; the sets a function likely accepts come first."""
    yield "dim 0 of every tensor", [t[:0] if t.dim() else t for t in tensors]
    for i, t in enumerate(tensors):
        if t.dim():
            yield f"dim 0 of tensor {i}", [*tensors[:i], t[:0], *tensors[i + 1 :]]
    yield "every dim of every tensor", [t.new_zeros([0] * t.dim()) for t in tensors]


@row("empty inputs", "inputs")
def empty_inputs(case: Case) -> str:
    """Pass tensors without entries, forward and backward; one set that works is enough."""
    if not any(t.dim() for t in case.tensors):
        raise NotApplicable("no input has a dimension")
    refusal: Exception | None = None
    for name, tensors in _empties(case.tensors):
        tensors = [fresh(t) for t in tensors]
        try:
            _empty(case, tensors)
        except Wrong:
            raise
        except Exception as error:
            refusal = refusal or error
        else:
            return f"{name} is 0"
    assert refusal is not None
    reference = reference_case(case)
    if reference and not any(_takes(reference, each) for _, each in _empties(case.tensors)):
        raise NotApplicable("the reference takes no empty input either")
    raise refusal


def _empty(case: Case, tensors: list[Tensor]) -> None:
    leaves = [tensors[i].requires_grad_() for i in case.diff_at]
    outputs = case.call(tensors)
    if reference := reference_case(case):
        expected = [t.detach() for t in reference.call([t.detach() for t in tensors])]
        label = lambda i: f"{output(i)} for empty inputs"
        compare([t.detach() for t in outputs], expected, label, case.options.tolerance)
    roots = [y for y in outputs if y.requires_grad]
    if not roots:
        return
    seeds = [torch.ones_like(y) for y in roots]
    for i, g in enumerate(torch.autograd.grad(roots, leaves, seeds, allow_unused=True)):
        if g is not None and g.shape != leaves[i].shape:
            raise Wrong(
                f"{gradient_label(case, i)}: got shape {list(g.shape)} for {list(leaves[i].shape)}"
            )


def _takes(case: Case, tensors: Sequence[Tensor]) -> bool:
    try:
        case.call([fresh(t) for t in tensors])
    except Exception:
        return False
    return True


def _cast(case: Case, dtype: torch.dtype, at: Sequence[int]) -> list[Tensor]:
    """Return copies of the tensors; the tensors at `at` have the precision of `dtype`."""
    tensors = case.copies()
    for i in at:
        t = tensors[i]
        tensors[i] = t.to(dtype.to_complex() if t.is_complex() else dtype)
    return tensors


@row("dtypes", "inputs")
def dtypes(case: Case) -> str:
    """Run in float32 and in float64: values must agree, and the outputs' dtypes follow."""
    if not case.diff:
        raise NotApplicable("no input is a floating-point or complex tensor")
    results: dict[torch.dtype, tuple[Tensor, ...]] = {}
    refused = []
    for dtype in (torch.float32, torch.float64):
        tensors = _cast(case, dtype, case.diff_at)
        try:
            results[dtype] = tuple(t.detach() for t in case.call(tensors))
        except Exception as error:
            refused.append(
                f"no {describe(tensors[case.diff_at[0]]).split()[0]}: {first_line(error)}"
            )
    if len(results) < 2:
        raise NotApplicable("; ".join(refused))
    low, high = results[torch.float32], results[torch.float64]
    for dtype, outputs in results.items():
        for i, t in enumerate(outputs):
            if differentiable(t) and t.dtype.to_real() != dtype:
                given = str(dtype).removeprefix("torch.")
                raise Wrong(
                    f"output {i} of {given} inputs is {describe(t)}; when that is meant, skip this "
                    "row"
                )
    narrow = [t.to(s.dtype) for t, s in zip(high, low, strict=True)]
    label = lambda i: f"output {i} of float32 inputs, against float64"
    compare(low, narrow, label, Tolerance(1e-3, 1e-4))
    return "float32 and float64 agree"


@row("mixed dtypes", "inputs")
def mixed_dtypes(case: Case) -> str:
    """Let one input be float32 and the rest float64: a right result, or a refusal."""
    if len(case.diff) < 2:
        raise NotApplicable("there are not two differentiable inputs")
    taken = []
    for i in case.diff_at[:8]:
        tensors = _cast(case, torch.float64, case.diff_at)
        expected = [t.detach() for t in case.call([fresh(t) for t in tensors])]
        tensors[i] = tensors[i].to(_cast(case, torch.float32, [i])[i].dtype)
        try:
            got = [t.detach() for t in case.call(tensors)]
        except Exception as error:
            refusal = first_line(error)
            continue
        taken.append(i)
        where = f"when only input {case.names[i]} is float32"
        label = lambda j, where=where: f"output {j} {where}"
        compare(got, expected, label, Tolerance(1e-3, 1e-4), dtypes=False)
    if not taken:
        raise NotApplicable(f"refused: {refusal}")
    return f"taken for input {', '.join(case.names[i] for i in taken)}"

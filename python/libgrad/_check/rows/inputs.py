"""Rows of the group "inputs": other layouts, and which inputs require grad or are written to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..case import Case
from ..compare import NotApplicable, Wrong, compare, describe, identical
from ..inputs import differentiable
from ..registry import row
from .autograd import gradient_label, output, varying_outputs

__all__ = ["grads_of", "same_as_eager"]

Start = Callable[[Tensor], Tensor] | None


def same_as_eager(
    case: Case, outputs: Sequence[Tensor], leaves: Sequence[Tensor], where: str, start: Start = None
) -> None:
    """Compare outputs and, where outputs are differentiable, the gradients by backward from them.

    Raises:
        Wrong: They differ from the eager run; the text ends in `where`.
    """
    tolerance = case.options.tolerance
    got = [t.detach() for t in outputs]
    compare(got, case.outputs, lambda i: f"{output(i)} {where}", tolerance)
    if not case.outputs_at:
        return
    grads_of(case, [outputs[i] for i in case.outputs_at], leaves, where, start)


def grads_of(
    case: Case, roots: Sequence[Tensor], leaves: Sequence[Tensor], where: str, start: Start = None
) -> None:
    """Run backward from `roots` and compare with the eager gradients.

    Raises:
        Wrong: A root requires no grad, or a gradient differs; the text ends in `where`.
    """
    for i, root in zip(case.outputs_at, roots, strict=True):
        if not root.requires_grad:
            raise Wrong(f"output {i} {where} does not require grad: the gradient is lost")
    seeds = [w.clone() if start is None else start(w) for w in case.weights]
    grads = torch.autograd.grad(roots, leaves, seeds, allow_unused=True)
    label = lambda i: f"{gradient_label(case, i)} {where}"
    compare(grads, case.grads, label, case.options.tolerance)


@row("some inputs require grad", "inputs")
def some_inputs(case: Case) -> None:
    """Let each input alone require grad, against the run in which all do."""
    case.need_outputs()
    if len(case.diff) == 1:
        raise NotApplicable("there is one differentiable input")
    for i in range(min(len(case.diff), 16)):
        inputs = case.primals()
        inputs[i].requires_grad_()
        where = f"when only {case.label_input(i)} requires grad"
        outputs = case.call(case.with_diff(inputs))
        pairs = [(outputs[j], w) for j, w in zip(case.outputs_at, case.weights, strict=True)]
        roots = [(y, w.clone()) for y, w in pairs if y.requires_grad]
        if not roots:
            if case.found_grads[i] is None:
                continue
            raise Wrong(f"no output requires grad {where}")
        (got,) = torch.autograd.grad(
            [y for y, _ in roots], inputs[i], [w for _, w in roots], allow_unused=True
        )
        label = lambda _, i=i, where=where: f"{gradient_label(case, i)} {where}"
        compare([got], [case.grads[i]], label, case.options.tolerance)


@row("non-differentiable outputs", "inputs")
def non_differentiable_outputs(case: Case) -> str:
    """List the outputs that do not require grad; none of them may change with the inputs."""
    rest = [i for i in range(len(case.outputs)) if i not in case.outputs_at]
    if not rest:
        raise NotApplicable("every output requires grad")
    floating = [i for i in rest if differentiable(case.outputs[i])]
    if floating and case.outputs_at and case.options.exact:
        found = varying_outputs(case, floating)
        if found:
            raise Wrong(f"{found}; when that is meant, skip this row")
    return ", ".join(f"output {i} ({describe(case.outputs[i])})" for i in rest)


def _strided(t: Tensor) -> Tensor:
    wide = t.new_zeros(*t.shape, 2)
    wide[..., 0] = t
    return wide[..., 0]


def _transposed(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1) if t.dim() > 1 else _strided(t)


def _offset(t: Tensor) -> Tensor:
    base = t.new_zeros(t.numel() + 3)
    base[3:] = t.reshape(-1)
    return base[3:].view(t.shape)


LAYOUTS = {"strided": _strided, "transposed": _transposed, "with a storage offset": _offset}


@row("non-contiguous inputs", "inputs")
def non_contiguous(case: Case) -> str:
    """Pass the same values and gradients in other layouts, against the eager run."""
    if not case.tensors:
        raise NotApplicable("there is no tensor")
    for name, layout in LAYOUTS.items():
        tensors = [layout(t) for t in case.copies()]
        leaves = [tensors[i].detach().requires_grad_() for i in case.diff_at]
        for i, leaf in zip(case.diff_at, leaves, strict=True):
            tensors[i] = leaf
        same_as_eager(case, case.call(tensors), leaves, f"for inputs that are {name}")
        if case.outputs_at:
            leaves = case.leaves()
            roots = case.pure(*leaves)
            grads_of(case, roots, leaves, f"for incoming gradients that are {name}", layout)
    if case.outputs_at:
        _expanded_gradient(case)
        return "inputs and incoming gradients: strided, transposed, offset, expanded"
    return "strided, transposed, offset"


def _expanded_gradient(case: Case) -> None:
    """Start backward from a gradient of stride 0, such as that of ``y.sum()``."""

    def run(expanded: bool) -> list[Tensor]:
        leaves = case.leaves()
        roots = case.pure(*leaves)
        seeds = [torch.ones_like(y) for y in roots]
        if expanded:
            seeds = [y.new_ones(()).expand(y.shape) for y in roots]
        return list(
            torch.autograd.grad(roots, leaves, seeds, allow_unused=True, materialize_grads=True)
        )

    label = lambda i: f"{gradient_label(case, i)} for an incoming gradient that is expanded"
    compare(run(True), run(False), label, case.options.tolerance)


@row("inputs unmodified", "inputs")
def unmodified(case: Case) -> str:
    """Require that neither forward nor backward writes to its inputs, except those in `mutates`."""
    tensors = case.copies()
    versions = [t._version for t in tensors]
    args, kwargs = case.raw_arguments(tensors)
    with torch.no_grad():
        case.fn(*args, **kwargs)
    changed = []
    for i, (t, version) in enumerate(zip(tensors, versions, strict=True)):
        before, declared = case.tensors[i], case.mutated[i]
        different = not identical(t, before)
        if different and t._version == version:
            raise Wrong(
                f"input {case.names[i]} is written to without its version counter, so that "
                "autograd cannot notice: through .data, numpy, dlpack or a raw pointer"
            )
        if t._version != version and not declared:
            raise Wrong(
                f"input {case.names[i]} is modified in place (version {version} to "
                f"{t._version}); when that is meant, say mutates=({case.names[i].split('[')[0]},)"
            )
        changed += [case.names[i]] * (t._version != version)
    if case.outputs_at:
        _unmodified_by_backward(case)
    return f"but input {', '.join(changed)}, as declared" if changed else ""


def _unmodified_by_backward(case: Case) -> None:
    leaves = case.leaves()
    kept = [x.detach().clone() for x in leaves]
    seeds = [w.clone() for w in case.weights]
    torch.autograd.grad(case.pure(*leaves), leaves, seeds, allow_unused=True)
    for i, (x, before) in enumerate(zip(leaves, kept, strict=True)):
        if not identical(x, before):
            raise Wrong(f"{case.label_input(i)} is modified by backward")
    for i, (s, before) in enumerate(zip(seeds, case.weights, strict=True)):
        if s._version or not identical(s, before):
            raise Wrong(f"the gradient that comes in at output {i} is modified by backward")

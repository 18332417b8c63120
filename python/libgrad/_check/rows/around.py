"""Rows of the group "around": contexts and machinery that a function is run inside of."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..case import Case
from ..compare import NotApplicable, Tolerance, Wrong, compare, identical, number
from ..inputs import fresh
from ..registry import row
from .autograd import gradient_label, output
from .inputs import same_as_eager

__all__: list[str] = []

THREADS = 8
PATIENCE = 60.0  # seconds that a thread may take


@row("determinism", "around")
def determinism(case: Case) -> str:
    """Run three times, forward and backward: results must be equal bit for bit."""
    results = [_run(case) for _ in range(3)]
    words = ""
    for again in results[1:]:
        pairs = zip(again, results[0], strict=True)
        if all(identical(a, b) for a, b in pairs):
            continue
        _judge(case, again, results[0], "in another run")
        words = "not bit for bit, but to rounding"
    return words


def _run(case: Case) -> list[Tensor]:
    """Return all outputs and gradients of a separate run."""
    leaves = case.leaves()
    outputs = case.call(case.with_diff(leaves))
    found = [t.detach().clone() for t in outputs]
    if case.diff and case.outputs_at:
        roots = [outputs[i] for i in case.outputs_at]
        seeds = [w.clone() for w in case.weights]
        found += torch.autograd.grad(
            roots, leaves, seeds, allow_unused=True, materialize_grads=True
        )
    return found


def _judge(case: Case, got: Sequence[Tensor], expected: Sequence[Tensor], where: str) -> None:
    n = len(case.outputs)

    def label(i: int) -> str:
        return f"{output(i) if i < n else gradient_label(case, i - n)} {where}"

    try:
        compare(got, expected, label, case.options.tolerance)
    except Wrong as wrong:
        seeded = []
        for _ in range(2):
            case.seed()
            seeded.append(_run(case))
        if all(identical(a, b) for a, b in zip(*seeded, strict=True)):
            raise Wrong(
                f"{wrong}; the same after torch.manual_seed: it draws random numbers"
            ) from None
        raise


@row("saved-tensor hooks", "around")
def saved_tensor_hooks(case: Case) -> str:
    """Save clones in place of the tensors, against the eager run."""
    case.need_outputs()
    sizes = []

    def pack(t: Tensor) -> Tensor:
        sizes.append(t.numel() * t.element_size())
        return t.detach().clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t.clone()):
        leaves = case.leaves()
        outputs = case.call(case.with_diff(leaves))
    same_as_eager(case, outputs, leaves, "with saved-tensor hooks")
    return f"{len(sizes)} saved, {sum(sizes)} bytes"


def _checkpoint(case: Case, use_reentrant: bool) -> None:
    case.need_outputs()
    leaves = case.leaves()
    roots = checkpoint(case.pure, *leaves, use_reentrant=use_reentrant)
    for i, root in zip(case.outputs_at, roots, strict=True):
        if not root.requires_grad:
            raise Wrong(f"output {i} under checkpoint does not require grad")
    torch.autograd.backward(roots, [w.clone() for w in case.weights])
    label = lambda i: f"{gradient_label(case, i)} under checkpoint"
    compare([x.grad for x in leaves], case.grads, label, case.options.tolerance)


@row("checkpoint", "around")
def checkpoint_row(case: Case) -> None:
    """Run under torch.utils.checkpoint, which runs forward again in backward."""
    _checkpoint(case, False)


@row("checkpoint reentrant", "around")
def checkpoint_reentrant(case: Case) -> None:
    """Run under the reentrant checkpoint, which runs backward inside backward."""
    _checkpoint(case, True)


@row("autocast", "around")
def autocast(case: Case) -> str:
    """Run on float32 inputs under autocast to bfloat16, against float32 to a tolerance of 0.1."""
    case.need_outputs()
    device = case.diff[0].device.type
    if any(t.is_complex() for t in case.diff):
        raise NotApplicable("autocast leaves complex tensors alone")
    tensors = [t.float() for t in case.primals()]
    leaves = [t.clone().requires_grad_() for t in tensors]
    try:
        plain = case.pure(*leaves)
    except Exception as error:
        raise NotApplicable(f"fn takes no float32: {error}") from None
    grads = _summed(plain, leaves)
    cast_leaves = [t.clone().requires_grad_() for t in tensors]
    with torch.autocast(device, torch.bfloat16):
        cast = case.pure(*cast_leaves)
    expected = [y.detach() for y in plain]
    coarse = Tolerance(0.1, 0.1)
    got = [y.detach() for y in cast]
    compare(got, expected, lambda i: f"{output(i)} under autocast", coarse, dtypes=False)
    label = lambda i: f"{gradient_label(case, i)} under autocast"
    compare(_summed(cast, cast_leaves), grads, label, coarse)
    names = {str(y.dtype).removeprefix("torch.") for y in cast}
    return f"{', '.join(sorted(names))} outputs of float32 inputs"


def _summed(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    if not any(y.requires_grad for y in outputs):
        raise Wrong("no output requires grad under autocast")
    ones = [torch.ones_like(y) for y in outputs]
    return list(
        torch.autograd.grad(outputs, leaves, ones, allow_unused=True, materialize_grads=True)
    )


@row("threads", "around")
def threads(case: Case) -> str:
    """Run forward and backward in eight threads at a time, each against the eager run."""
    wrong: list[BaseException] = []
    barrier = threading.Barrier(THREADS)
    case.outputs  # noqa: B018  # computed once, before the threads start
    if case.outputs_at:
        case.need_outputs()
        case.grads  # noqa: B018

    def run(index: int) -> None:
        try:
            barrier.wait()
            for _ in range(4):
                leaves = [fresh(t).requires_grad_() for t in case.diff]
                outputs = case.call(case.with_diff(leaves))
                same_as_eager(case, outputs, leaves, f"in thread {index} of {THREADS}")
        except BaseException as error:
            wrong.append(error)

    pool = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(THREADS)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join(PATIENCE)
    stuck = sum(thread.is_alive() for thread in pool)
    if stuck:
        raise Wrong(f"{stuck} of {THREADS} threads did not end in {number(PATIENCE)} s")
    if wrong:
        raise wrong[0]
    return f"{THREADS} at a time"

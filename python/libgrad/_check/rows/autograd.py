"""Rows of the group "autograd": eager reverse mode, to the third order, against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from ..case import LIMIT, Case, first_line, real_dot
from ..compare import NotApplicable, Tolerance, Wrong, compare, describe, number
from ..inputs import differentiable
from ..numeric import along, derivative, differences, numeric_case, worst_entry
from ..registry import row
from ..saved import lost_intermediates


def output(i: int) -> str:
    """Return the name of output `i`."""
    return f"output {i}"


def diff_output(case: Case, i: int) -> str:
    """Return the name of differentiable output `i`."""
    return f"output {case.outputs_at[i]}"


def gradient_label(case: Case, i: int) -> str:
    """Return the name of the gradient of differentiable input `i`."""
    return f"gradient of {case.label_input(i)}"


@row("forward", "autograd")
def forward(case: Case) -> str:
    """Run under no_grad, against the run that records, and against the reference."""
    with torch.no_grad():
        got = case.call(case.copies())
    recording = [t for t in got if t.requires_grad]
    if recording:
        raise Wrong(f"output {describe(recording[0])} requires grad under no_grad")
    compare(got, case.outputs, lambda i: f"{output(i)} under no_grad", case.options.tolerance)
    words = f"{len(got)} outputs" if len(got) > 1 else describe(got[0])
    if reference := reference_case(case):
        compare(got, reference.outputs, output, case.options.tolerance)
        return f"{words}, as the reference"
    return words


def reference_case(case: Case) -> Case | None:
    """Return the case of the reference, if there is one."""
    if case.options.reference is None:
        return None
    return Case(case.options.reference, case.args, case.kwargs, case.options)


@row("backward", "autograd")
def backward(case: Case) -> str:
    """Run backward and grad, against each other, differences and the reference."""
    check_dropped(case)
    case.need_outputs()
    leaves = case.leaves()
    torch.autograd.backward(case.pure(*leaves), case.weights, inputs=leaves)
    label = lambda i: gradient_label(case, i)
    compare([x.grad for x in leaves], case.grads, label, case.options.tolerance)
    words = against_reference(case, [])
    if case.options.exact:
        words = join(words, against_numbers(case, []))
    missing = [case.label_input(i) for i, g in enumerate(case.found_grads) if g is None]
    return join(words, f"no gradient for {', '.join(missing)}" if missing else "")


def join(*words: str) -> str:
    """Return the words that are not empty, joined into one line."""
    return "; ".join(word for word in words if word)


def check_dropped(case: Case) -> None:
    """Raise `Wrong` when no output requires grad though outputs change with the inputs."""
    if not case.diff or case.outputs_at or not case.options.exact:
        return
    found = varying_outputs(case, [i for i, t in enumerate(case.outputs) if differentiable(t)])
    if found:
        raise Wrong(f"{found}: its gradient is dropped")


def varying_outputs(case: Case, among: Sequence[int]) -> str:
    """Return a description of an output of `among` that changes with the inputs, or ""."""
    if not among:
        return ""

    def f(*at: Tensor) -> list[Tensor]:
        with torch.no_grad():
            found = best.call(best.with_diff([x.clone() for x in at]))
        return [found[i] for i in among]

    try:
        best, step, _ = numeric_case(case)
    except NotApplicable:
        return ""
    for i, slope in zip(among, along(f, best.diff, best.direction, step), strict=True):
        if slope.numel() and slope.abs().max() > 1e-3:
            size = number(slope.abs().max().item())
            return f"output {i} does not require grad, but changes with the inputs (by {size})"
    return ""


def against_reference(case: Case, directions: Sequence[Sequence[Tensor]]) -> str:
    """Compare derivatives with those of the reference; return a description of the comparison."""
    reference = reference_case(case)
    if reference is None:
        return ""
    reference.need_outputs()
    if len(reference.outputs_at) != len(case.outputs_at):
        raise Wrong(
            f"{len(case.outputs_at)} outputs require grad, {len(reference.outputs_at)} of the "
            "reference do"
        )
    got, expected = (derivative(each, directions)(*each.diff) for each in (case, reference))
    tolerance = case.options.tolerance.times(10.0 ** len(directions))  # each order costs digits
    compare(got, expected, lambda i: gradient_label(case, i), tolerance)
    return "as the reference"


def against_numbers(case: Case, directions: Sequence[Sequence[Tensor]]) -> str:
    """Compare a derivative with finite differences; return a description of the comparison."""
    try:
        best, step, tolerance = numeric_case(case)
    except NotApplicable as reason:
        return f"not compared with numbers: {reason}"
    best.need_outputs()
    at = [x.clone() for x in best.diff]
    directions = [[v.to(x.dtype) for v, x in zip(d, at, strict=True)] for d in directions]
    if not directions:
        _first_order(best, step, tolerance)
    else:
        # differences of the gradient, not of the next lower derivative, which may be wrong itself
        expected = differences(derivative(best, []), at, directions, step)
        got = derivative(best, directions)(*at)
        compare(got, expected, lambda i: gradient_label(case, i), tolerance)
    return "" if best is case.double else f"compared in low precision: {case.why_no_double}"


def _first_order(case: Case, step: float, tolerance: Tolerance) -> None:
    def value(*at: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [case.scalar(*at)]

    got = derivative(case, [])(*case.diff)
    for i, (g, v) in enumerate(zip(got, case.direction, strict=True)):  # one by one: a float may
        alone = [v if j == i else torch.zeros_like(x) for j, x in enumerate(case.diff)]  # be a code
        expected = along(value, case.diff, alone, step)
        try:
            compare([real_dot([g], [v])], expected, lambda _: "", tolerance, dtypes=False)
        except Wrong as wrong:
            if sum(x.numel() for x in [*case.diff, *case.diff_outputs]) <= LIMIT:
                labels = (lambda i: diff_output(case, i), case.label_input)
                worst_entry(case.pure, case.diff, labels, step, tolerance)
            where = f"slope by {case.label_input(i)} in a random direction"
            raise Wrong(f"{where}{wrong}") from None


def _higher(case: Case, order: int) -> str:
    case.need_outputs()
    directions = [case.random_like(case.diff, 10 + i) for i in range(order - 1)]
    for direction in directions:  # not along inputs without a gradient: the first order tells those
        for v, g in zip(direction, case.found_grads, strict=True):
            v *= g is not None
    derivative(case, directions)(*case.diff)
    words = against_reference(case, directions)
    if case.options.exact:
        return join(words, against_numbers(case, directions))
    return words or "ran; with exact=False there is nothing to compare with"


@row("double backward", "autograd")
def double_backward(case: Case) -> str:
    """Differentiate the gradient in a random direction, against its finite difference."""
    return explained(case, lambda: _higher(case, 2))


@row("third order", "autograd")
def third_order(case: Case) -> str:
    """Differentiate once more."""
    return explained(case, lambda: _higher(case, 3))


def explained(case: Case, run: Callable[[], str]) -> str:
    """Run a row; add to its error the saved tensors through which no gradient flows."""
    try:
        return run()
    except Wrong as wrong:
        reasons = lost_intermediates(case)
        raise Wrong("\n".join([str(wrong), *reasons])) from None


def _need_gradcheck(case: Case) -> Case:
    if not case.options.exact:
        raise NotApplicable("exact=False: the gradient is defined by backward, not by numbers")
    case.need_outputs()
    if case.double is None:
        raise NotApplicable(f"fn takes no float64: {case.why_no_double}")
    case.double.need_outputs()
    low = [t for t in case.double.diff_outputs if t.dtype.to_real() != torch.float64]
    if low:
        raise NotApplicable(f"an output of float64 inputs is {describe(low[0])}")
    return case.double


def _gradcheck(case: Case, fast: bool) -> str:
    double = _need_gradcheck(case)
    entries = sum(x.numel() for x in [*case.diff, *case.diff_outputs])
    if not fast:
        case.need_small(entries, "inputs and outputs")
    try:
        torch.autograd.gradcheck(double.pure, double.leaves(), fast_mode=fast)
    except GradcheckError as error:
        if entries <= LIMIT:
            labels = (lambda i: diff_output(case, i), case.label_input)
            worst_entry(double.pure, double.diff, labels, *numeric_case(case)[1:])
        raise Wrong(first_line(error)) from None
    return "" if double is case else "on a float64 copy"


@row("gradcheck", "autograd")
def gradcheck(case: Case) -> str:
    """Run torch.autograd.gradcheck in its slow mode: every entry of the Jacobian."""
    return _gradcheck(case, False)


@row("gradcheck fast", "autograd")
def gradcheck_fast(case: Case) -> str:
    """Run torch.autograd.gradcheck in its fast mode: random directions."""
    return _gradcheck(case, True)


@row("gradgradcheck", "autograd")
def gradgradcheck(case: Case) -> str:
    """Run torch.autograd.gradgradcheck: backward as a function of inputs and gradients."""
    return explained(case, lambda: _gradgradcheck(case))


def _gradgradcheck(case: Case) -> str:
    double = _need_gradcheck(case)
    case.need_small(2 * sum(x.numel() for x in [*case.diff, *case.diff_outputs]), "both sides")
    try:
        torch.autograd.gradgradcheck(double.pure, double.leaves())
    except GradcheckError as error:
        _locate_second(case, double)
        raise Wrong(first_line(error)) from None
    return "" if double is case else "on a float64 copy"


def _locate_second(case: Case, double: Case) -> None:
    """Raise `Wrong` for the worst entry of the derivative of backward."""
    n = len(double.diff)

    def first(*both: Tensor) -> list[Tensor]:
        leaves = [x if x.requires_grad else x.clone().requires_grad_() for x in both[:n]]
        grads = torch.autograd.grad(
            double.pure(*leaves), leaves, both[n:], create_graph=True, allow_unused=True
        )
        pairs = zip(grads, leaves, strict=True)
        return [torch.zeros_like(x) if g is None else g for g, x in pairs]

    def by(i: int) -> str:
        return case.label_input(i) if i < n else f"gradient of {diff_output(case, i - n)}"

    at = [*double.diff, *double.weights]
    labels = (lambda i: gradient_label(case, i), by)
    worst_entry(first, at, labels, *numeric_case(case)[1:])

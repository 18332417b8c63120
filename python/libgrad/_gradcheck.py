"""`gradcheck` and `gradgradcheck`, by <libgrad/gradcheck.h>."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

# Imported by name now: a program may later replace torch.autograd.gradcheck by libgrad's.
from torch.autograd.gradcheck import GradcheckError as _TorchsError
from torch.autograd.gradcheck import gradcheck as _torchs_gradcheck
from torch.autograd.gradcheck import gradgradcheck as _torchs_gradgradcheck

from . import _C

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckEntry(NamedTuple):
    """One entry of the analytic and the numeric Jacobian."""

    output: tuple[int, ...]
    input: tuple[int, ...]
    analytic: float | complex
    numeric: float | complex
    error: float
    allowed: float


class GradcheckStep(NamedTuple):
    """The numeric derivative of the worst entry with one eps."""

    eps: float
    numeric: float | complex
    error: float
    agrees: bool


GradcheckEntry.__module__ = GradcheckStep.__module__ = "libgrad.types"


class GradcheckError(_TorchsError):
    """A failure of `gradcheck` or `gradgradcheck`, in sentences and as data.

    It is a torch.autograd.gradcheck.GradcheckError, and so a RuntimeError. Attributes that do not
    apply to a kind of failure are None or empty.

    >>> def double(x):
    ...     y = 2 * x
    ...     y.register_hook(lambda grad: grad / 2)  # a wrong derivative
    ...     return y
    >>> try:
    ...     libgrad.gradcheck(double, torch.ones(3, dtype=torch.double, requires_grad=True))
    ... except libgrad.GradcheckError as error:
    ...     print(error.kind, error.output, error.input, error.worst[0].analytic)
    ...     print(error.advice.split(", ")[-1])
    jacobian 0 0 1.0
    so the backward is wrong: it is 0.5 times what it should be.

    Attributes:
        kind: What failed: "jacobian" (analytic and numeric derivatives differ), "not_zero" (no
            output requires grad, yet the function changes), "not_repeatable", "grad_output",
            "undefined", "batched", "dtype", "size", "layout", "device".
        forward_mode: True where forward mode failed.
        output: The index of the output, among all that the function returns.
        input: The index of the input, among all that the function takes, followed by the
            grad_outputs.
        part: "real" or "imaginary", where only that part of a complex output (in forward mode: of a
            complex input) was checked.
        worst: At most ten entries, the worst first: (output, input, analytic, numeric, error,
            allowed), where the first two are indices into these tensors.
        wrong: The number of entries that disagree.
        entries: The number of all entries.
        analytic: The Jacobian by autograd, with a row for each element of the input.
        numeric: The Jacobian by differences. For the kind "batched", `analytic` is the result of
            vmap, and `numeric` that of a loop.
        sweep: The worst entry with eps from 1e-2 to 1e-10: (eps, numeric, error, agrees).
        advice: What the sweep means.
    """

    kind: str
    forward_mode: bool
    output: int | None
    input: int | None
    part: str
    worst: list[GradcheckEntry]
    wrong: int
    entries: int
    analytic: Tensor | None
    numeric: Tensor | None
    sweep: list[GradcheckStep]
    advice: str


def _result(outcome: Any) -> bool:
    """Return True or False; raise the error that a dict describes."""
    if isinstance(outcome, bool):
        return outcome
    error, cause = GradcheckError(outcome.pop("message")), outcome.pop("cause")
    outcome["worst"] = [GradcheckEntry(*entry) for entry in outcome["worst"]]
    outcome["sweep"] = [GradcheckStep(*step) for step in outcome["sweep"]]
    vars(error).update(outcome)
    raise error from cause


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Check the derivatives of `func` at `inputs` against differences of its values.

    These are torch.autograd.gradcheck's checks, options and exceptions, run by
    ``libgrad::gradcheck``; the error says more. Inputs should be in double precision.

    `gradcheck` tests whether the derivatives are right, and raises an error if not. `check` tests
    in which modes of PyTorch (vmap, torch.func, torch.compile, ...) a function works, and returns
    a report.

    >>> x = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
    >>> libgrad.gradcheck(lambda x: torch.tanh(x) * x.exp(), x)
    True
    >>> libgrad.gradcheck(torch.linalg.norm, x, fast_mode=True, check_forward_ad=True)
    True

    Calls with inputs that are sparse or of a subclass of Tensor, and calls inside torch.func or a
    mode that intercepts torch, are passed to torch's own gradcheck.

    Args:
        func: Takes `inputs`; returns a tensor, or a tuple or list with tensors among other things.
        inputs: A tensor, or a tuple of tensors and other things. Tensors that require grad are
            checked; they are changed in place during the check, and restored.
        eps: The step of the differences (f(x + eps) - f(x - eps)) / (2 eps).
        atol: Entries agree where |analytic - numeric| <= atol + rtol |numeric|.
        rtol: See `atol`.
        raise_exception: Raise where a check fails, instead of returning False.
        nondet_tol: The allowed difference between two runs of one backward.
        check_undefined_grad: Also run the backward with undefined gradients (None), which stand
            for zeros.
        check_grad_dtypes: Also require that gradients have the dtypes of their inputs.
        check_batched_grad: Also run the backward under vmap, as is_grads_batched does.
        check_batched_forward_grad: Also run forward mode under vmap.
        check_forward_ad: Check forward mode.
        check_backward_ad: Check the backward.
        fast_mode: Compare one random product of each Jacobian instead of every entry.
        masked: For sparse inputs, as in torch.

    Raises:
        GradcheckError: A check failed.
        AssertionError: Options that contradict each other; outputs whose shape or dtype changes.
        ValueError: No input requires grad; an output is sparse.
        RuntimeError: An input has stride 0.
        AttributeError: `func` returned no tensor.
    """
    arguments = locals()
    if _C.takes_gradcheck(inputs):
        return _result(_C.gradcheck(func, inputs, arguments))
    return bool(_torchs_gradcheck(**arguments))


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Check the derivatives of the gradients of `func` at `inputs` against differences.

    These are torch.autograd.gradgradcheck's checks, options and exceptions: `gradcheck` of the
    function from `inputs` and `grad_outputs` to the gradients. It is also a row of `check`.

    >>> x = torch.randn(3, dtype=torch.double, requires_grad=True)
    >>> libgrad.gradgradcheck(lambda x: torch.tanh(x) * x.exp(), x)
    True
    >>> libgrad.gradgradcheck(torch.sin, x, check_fwd_over_rev=True, fast_mode=True)
    True

    Args:
        func: As in `gradcheck`.
        inputs: As in `gradcheck`.
        grad_outputs: The vectors for the outputs that require grad; None for random vectors.
        gen_non_contig_grad_outputs: Draw non-contiguous vectors.
        check_fwd_over_rev: Check forward mode over the backward.
        check_rev_over_rev: Check the backward of the backward.
        eps: As in `gradcheck`, like the options below.
        atol: The same.
        rtol: The same.
        raise_exception: The same.
        nondet_tol: The same.
        check_undefined_grad: The same.
        check_grad_dtypes: The same.
        check_batched_grad: The same.
        fast_mode: The same.
        masked: The same.

    Raises:
        GradcheckError: A check failed.
        AssertionError: Options that contradict each other.
        RuntimeError: As `gradcheck`; a vector that does not fit its output.
    """
    arguments = locals()
    given = () if grad_outputs is None else grad_outputs
    if _C.takes_gradcheck(inputs) and _C.takes_gradcheck(given):
        return _result(_C.gradgradcheck(func, inputs, grad_outputs, arguments))
    return bool(_torchs_gradgradcheck(**arguments))

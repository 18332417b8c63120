"""What gradcheck raises: torch's types, and what a failure tells."""

from __future__ import annotations

import importlib
import pickle
import warnings

import pytest
import torch
from gradcheck import gradcheck_cases as cases
from gradcheck.gradcheck_cases import FAILS, MISUSED, WRONG, complex_leaf, fails, leaf

import libgrad
from libgrad import GradcheckError

TORCHS = importlib.import_module("torch.autograd.gradcheck")

modes = pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])


@modes
@pytest.mark.parametrize("name", MISUSED)
def test_misuse_raises_torchs_type(name, fast_mode):
    function, inputs, options = MISUSED[name]
    raised = []
    for module in (TORCHS, libgrad):
        with pytest.raises(BaseException) as info:
            module.gradcheck(
                function, inputs(), fast_mode=fast_mode, raise_exception=False, **options
            )
        raised.append(info.type)
    assert raised[0] is raised[1]


@modes
def test_failure_tells_where_and_by_how_much(fast_mode):
    x, y = leaf(2, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double().requires_grad_()
    wrong = cases.square(torch.autograd.Function, 1.5)
    error = fails(lambda s, x, y: (x, torch.arange(3), wrong(y)), ("s", x, y), fast_mode=fast_mode)
    assert isinstance(error, TORCHS.GradcheckError)
    assert (error.kind, error.forward_mode, error.part) == ("jacobian", False, "")
    assert (error.output, error.input) == (2, 2)
    assert (error.wrong, error.entries, len(error.worst)) == (4, 16, 4)
    worst = error.worst[0]
    assert (worst.output, worst.input) == ((1, 1), (1, 1))
    assert worst.analytic == 12.0
    assert abs(worst.numeric - 8) < 1e-6
    assert worst.error == abs(worst.analytic - worst.numeric) > worst.allowed
    torch.testing.assert_close(error.analytic, (3 * y.detach().flatten()).diag())
    torch.testing.assert_close(error.numeric, (2 * y.detach().flatten()).diag())
    assert [step.agrees for step in error.sweep] == [False] * 9
    assert error.sweep[0].eps == 1e-2
    text = str(error)
    assert "Jacobian mismatch for output 1 with respect to input 1 (output 2 by input 2)" in text
    assert "[1, 1]       [1, 1]       12             8 " in text
    assert text.endswith(error.advice)
    assert error.advice.endswith("so the backward is wrong: it is 1.5 times what it should be.")


def test_failure_of_a_complex_function_is_complex():
    error = fails(FAILS, complex_leaf(2))
    assert error.part == "imaginary"
    assert "While considering the imaginary part of complex outputs only" in str(error)
    assert error.analytic.is_complex()
    assert isinstance(error.worst[0].analytic, complex)
    error = fails(cases.scaled_tangent, complex_leaf(2), check_forward_ad=True)
    assert error.forward_mode
    assert error.part == "imaginary"
    assert "Jacobian computed with forward mode mismatch for output 0" in str(error)


def test_advice_knows_when_another_eps_would_help():
    x = torch.ones(1).double().requires_grad_()
    assert "A smaller eps would help" in fails(lambda x: (1e4 * x).sin(), x, eps=1e-3).advice
    assert "A larger eps would help" in fails(lambda x: x * 1e-3 + 1e7, x).advice
    assert "does not settle" in fails(lambda x: (x - 1).abs().sqrt(), x + 1e-12).advice
    with pytest.warns(UserWarning, match="Input #0 requires gradient"):
        error = fails(lambda x: x * 1e-4 + 1, x.float(), atol=1e-9)
    assert "larger" in error.advice


def test_names_of_gradients_are_those_of_the_function():
    wrong = cases.make(
        torch.autograd.Function,
        "Wrong",
        forward=lambda ctx, x: cases.saving(ctx, x, x**3),
        backward=lambda ctx, g: g * 3 * ctx.saved_tensors[0] * ctx.saved_tensors[0].detach(),
    ).apply
    x = torch.ones(1).double().requires_grad_()
    with pytest.raises(GradcheckError) as info:
        libgrad.gradgradcheck(lambda n, x: wrong(x), (3, x))
    assert (info.value.output, info.value.input) == (0, 1)
    assert "the gradient of input 1 by input 1" in str(info.value)


@pytest.mark.parametrize(
    ("kind", "function", "options"),
    [
        ("not_zero", lambda x: x.detach() * 2, {}),
        ("grad_output", cases.hooked(lambda g: g + 1e-7), {}),
        ("not_repeatable", cases.jittery(torch.autograd.Function, 1e-7), {}),
        ("undefined", cases.without_zeros(torch.autograd.Function), {}),
        ("batched", cases.unbatched(torch.autograd.Function), cases.BATCHED),
        ("layout", WRONG["sparse gradient"][0], {}),
    ],
)
def test_kind_of_failure(kind, function, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        error = fails(function, leaf(2, 2), **options)
    assert error.kind == kind
    if kind in ("undefined", "batched"):
        assert error.__cause__ is not None


def test_cause_of_a_failure_is_the_exception_itself():
    with pytest.warns(UserWarning, match="New undefined gradient support"):
        error = fails(cases.without_zeros(torch.autograd.Function), leaf(2))
    assert str(error.__cause__) == "no gradient came"
    mine = RuntimeError("mine")

    def hook(grad):
        if torch._C._functorch.is_legacy_batchedtensor(grad):
            raise mine

    error = fails(cases.hooked(hook), leaf(2), check_batched_grad=True)
    assert error.__cause__ is mine
    assert "mine" in str(error)


def test_error_can_be_pickled():
    error = fails(FAILS, leaf(2))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.worst == error.worst


def test_fast_mode_says_when_slow_mode_would_pass():
    def forward(ctx, x):  # flat along both axes, and along no other line
        return x[0] ** 2 * x[1] / (x.norm() ** 2 + 1e-300)

    def backward(ctx, g):
        return torch.zeros(2, dtype=torch.double)

    flat = cases.make(torch.autograd.Function, "Flat", forward=forward, backward=backward).apply
    x = torch.zeros(2, dtype=torch.double, requires_grad=True)
    assert libgrad.gradcheck(flat, x)
    error = fails(flat, x, fast_mode=True)
    assert "Fast gradcheck failed but element-wise differences are small" in str(error)
    assert error.worst == error.sweep == []


@modes
@pytest.mark.parametrize("eps", [0.0, float("nan"), float("inf")])
def test_a_step_that_moves_nothing_is_refused(eps, fast_mode):
    with pytest.raises(ValueError, match=f"gradcheck: eps is {eps:g}, but must be a step"):
        libgrad.gradcheck(torch.sin, leaf(2), eps=eps, fast_mode=fast_mode)


@modes
def test_tensors_without_numbers_are_refused(fast_mode):
    x = torch.ones(2, device="meta", dtype=torch.double, requires_grad=True)
    with pytest.raises(NotImplementedError, match="gradcheck: input 0 is a meta tensor"):
        libgrad.gradcheck(torch.sin, x, fast_mode=fast_mode)


@pytest.mark.parametrize("check", [libgrad.gradcheck, libgrad.gradgradcheck])
@pytest.mark.parametrize("name", ["eps", "atol", "rtol", "nondet_tol"])
@pytest.mark.parametrize("value", [None, "1e-6", [1e-6]])
def test_an_option_that_is_no_number_is_named(check, name, value):
    with pytest.raises(TypeError, match=f"{check.__name__}: {name} must be a float, but is "):
        check(torch.sin, leaf(2), **{name: value})


def test_none_switches_an_option_off_as_in_torch():
    function, inputs = WRONG[next(iter(WRONG))][:2]
    for module in (TORCHS, libgrad):
        assert module.gradcheck(function, inputs(), raise_exception=None) is False

"""gradcheck of functions with arguments and results that are not differentiated, or no tensors.

Torch's own check shifts its indices there. Its fast mode is right in the newest version, but for
the message of a wrong backward behind a constant; its slow mode leaves out, or mixes up, what is
behind a result that needs no gradient. Results that are booleans or no tensors are other errors
there. Where torch is right, ours says what torch says; elsewhere the right thing.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from gradcheck import gradcheck_cases as cases
from gradcheck.gradcheck_cases import fails, leaf

import libgrad

TORCHS = importlib.import_module("torch.autograd.gradcheck")

modes = pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])


def squared(forward: float = 1.0, backward: float = 1.0, again: float = 1.0) -> Callable[..., Any]:
    """x², whose derivatives are wrong by these factors; `again` is that of the second."""

    class Squared(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            x = ctx.saved_tensors[0]
            return 2 * backward * (again * x + (1 - again) * x.detach()) * g

        @staticmethod
        def jvp(ctx, t):
            return 2 * forward * ctx.saved_tensors[0] * t

        @staticmethod
        def vmap(info, dims, x):
            return Squared.apply(x), dims[0]

    return Squared.apply


class Mixed(NamedTuple):
    function: Callable[..., Any]  # of the function that is checked, and the inputs
    inputs: Callable[[], tuple[Any, ...]]
    output: int
    input: int
    numbers: bool = True  # all outputs are tensors of numbers
    early: bool = False  # an output that needs no gradient is before the one that is checked
    constant: bool = False  # and is of floating point


def one() -> tuple[Any, ...]:
    return (leaf(3),)


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.double)


MIXED = {
    "integers first": Mixed(lambda f, x: (torch.arange(3), f(x)), one, 1, 0, early=True),
    "booleans between": Mixed(lambda f, x: (x.sin(), x > 0, f(x)), one, 2, 0, numbers=False),
    "integers last": Mixed(lambda f, x: (f(x), torch.arange(3)), one, 0, 0),
    "constant first": Mixed(lambda f, x: (ones(2), f(x)), one, 1, 0, early=True, constant=True),
    "constants around": Mixed(
        lambda f, x: (ones(2), x.cos(), ones(3), f(x), ones(1)),
        one,
        3,
        0,
        early=True,
        constant=True,
    ),
    "None first": Mixed(lambda f, x: (None, f(x)), one, 1, 0, numbers=False),
    "None last": Mixed(lambda f, x: (f(x), None), one, 0, 0, numbers=False),
    "no tensors around": Mixed(lambda f, x: ("s", f(x), 3, [x]), one, 1, 0, numbers=False),
    "all kinds of outputs": Mixed(
        lambda f, x: (None, torch.arange(2), ones(2), x.exp(), f(x)), one, 4, 0, numbers=False
    ),
    "number before": Mixed(lambda f, n, x: f(x) * n, lambda: (3, leaf(3)), 0, 1),
    "None before": Mixed(lambda f, n, x: f(x), lambda: (None, leaf(3)), 0, 1),
    "word between": Mixed(lambda f, x, s, y: x * f(y), lambda: (leaf(3), "s", leaf(3)), 0, 2),
    "integers before": Mixed(
        lambda f, i, x: f(x)[i], lambda: (torch.tensor([0, 2]), leaf(3)), 0, 1
    ),
    "constant before": Mixed(lambda f, w, x: f(x) * w, lambda: (ones(3), leaf(3)), 0, 1),
    "both": Mixed(
        lambda f, n, x, y: (x * y, torch.arange(n), f(y)),
        lambda: (3, leaf(3), leaf(3)),
        2,
        2,
        early=True,
    ),
}

FORWARD = {"check_forward_ad": True}
WAYS = {
    "forward": {**FORWARD, "check_backward_ad": False},
    "both": FORWARD,
    "all": {**FORWARD, **cases.BATCHED, "check_batched_forward_grad": True},
}
ways = pytest.mark.parametrize("way", WAYS)
mixed = pytest.mark.parametrize("name", MIXED)


def checked(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *inputs: MIXED[name].function(f, *inputs)


@mixed
@ways
@modes
def test_a_right_derivative_passes(name, way, fast_mode):
    inputs = MIXED[name].inputs()
    assert libgrad.gradcheck(checked(name, squared()), inputs, fast_mode=fast_mode, **WAYS[way])


@mixed
@modes
@pytest.mark.parametrize("forward", [False, True], ids=["backward", "forward"])
def test_a_wrong_derivative_is_found_in_its_place(name, fast_mode, forward):
    wrong = squared(forward=1.5) if forward else squared(backward=1.5)
    way = WAYS["both"] if forward else {}
    error = fails(checked(name, wrong), MIXED[name].inputs(), fast_mode=fast_mode, **way)
    assert (error.kind, error.forward_mode) == ("jacobian", forward)
    assert (error.output, error.input) == (MIXED[name].output, MIXED[name].input)
    assert error.advice.endswith("is wrong: it is 1.5 times what it should be.")


@mixed
@modes
def test_so_are_second_derivatives(name, fast_mode):
    options = {"check_fwd_over_rev": True, "fast_mode": fast_mode}
    inputs = MIXED[name].inputs()
    assert libgrad.gradgradcheck(checked(name, squared()), inputs, **options)
    assert not libgrad.gradgradcheck(
        checked(name, squared(again=0.5)), inputs, raise_exception=False, **options
    )


def verdict(module: Any, *args: Any, **options: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(module.gradcheck(*args, raise_exception=False, **options))


def torch_knows_its_indices() -> bool:
    wrong = squared(forward=1.5)
    try:
        return not verdict(TORCHS, lambda n, x: wrong(x), (3, leaf(2)), fast_mode=True, **FORWARD)
    except IndexError:
        return False


MENDED = torch_knows_its_indices()


def torch_is_right(case: Mixed, fast_mode: bool, wrong_backward: bool) -> bool:
    if not case.numbers:
        return False
    if not fast_mode:
        return not case.early
    return MENDED and not (wrong_backward and case.constant)


@mixed
@ways
@modes
@pytest.mark.parametrize(
    ("forward", "backward"),
    [(1.0, 1.0), (1.5, 1.0), (1.0, 1.5)],
    ids=["right", "wrong forward", "wrong backward"],
)
def test_the_verdict_is_torchs_where_torch_is_right(name, way, fast_mode, forward, backward):
    case, f = MIXED[name], checked(name, squared(forward, backward))
    wrong_backward = backward != 1.0 and way != "forward"
    wrong = forward != 1.0 or wrong_backward
    options = {"fast_mode": fast_mode, **WAYS[way]}
    inputs = case.inputs()
    assert verdict(libgrad, f, inputs, **options) is not wrong
    if torch_is_right(case, fast_mode, wrong_backward):
        assert verdict(TORCHS, f, inputs, **options) is not wrong


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
def test_an_output_that_forgets_its_tangent_is_told_in_fast_mode_alone(fast_mode):
    """Slow mode compares the outputs that need a gradient, fast mode all, as in torch."""
    function = lambda x: (x.detach() * 2, x * x)
    options = {**FORWARD, "fast_mode": fast_mode}
    assert verdict(libgrad, function, one(), **options) is not fast_mode
    if fast_mode:
        error = fails(function, one(), **options)
        assert (error.output, error.forward_mode) == (0, True)
        if MENDED:
            assert not verdict(TORCHS, function, one(), **options)


@modes
def test_an_output_that_needs_no_gradient_is_not_checked_by_backward(fast_mode):
    function = lambda x: (x.detach() * 2, x * x)
    assert libgrad.gradcheck(function, one(), fast_mode=fast_mode)
    if MENDED or not fast_mode:
        assert verdict(TORCHS, function, one(), fast_mode=fast_mode)


@modes
@pytest.mark.parametrize("values", ["complex", "real to complex"])
def test_complex_ones_are_found_in_their_place(fast_mode, values):
    """Of the two passes over complex tensors each has its own list of outputs."""
    kind = torch.cdouble if values == "complex" else torch.double
    x = torch.randn(3, dtype=kind, requires_grad=True)
    function = lambda n, x: (torch.arange(3), None, x * 1j, cases.scaled_tangent(x))
    error = fails(function, (3, x), fast_mode=fast_mode, **FORWARD)
    assert (error.output, error.input, error.forward_mode) == (3, 1, True)
    right = lambda n, x: (torch.arange(3), None, x * 1j, x * x)
    assert libgrad.gradcheck(right, (3, x), fast_mode=fast_mode, **FORWARD)


@modes
def test_undefined_and_batched_failures_name_the_place(fast_mode):
    no_none = cases.without_zeros(torch.autograd.Function)
    function = lambda n, x: (None, torch.arange(3), no_none(x))
    with pytest.warns(UserWarning, match="New undefined gradient support"):
        error = fails(function, (3, leaf(2)), fast_mode=fast_mode)
    assert error.kind == "undefined"
    unbatched = cases.unbatched(torch.autograd.Function)
    function = lambda n, x: (None, torch.arange(3), unbatched(x))
    error = fails(function, (3, leaf(2)), fast_mode=fast_mode, **cases.BATCHED)
    assert error.kind == "batched"

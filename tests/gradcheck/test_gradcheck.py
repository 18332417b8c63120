"""gradcheck and gradgradcheck: torch's verdicts, in every mode and for every kind of input."""

from __future__ import annotations

import importlib
import threading
import warnings

import pytest
import torch
from gradcheck import gradcheck_cases as cases
from gradcheck.gradcheck_cases import FAILS, RIGHT, WRONG, fails, leaf
from support.parity import outcome

import libgrad

TORCHS = importlib.import_module("torch.autograd.gradcheck")

modes = pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])


def can_multiply_bfloat16_by_i() -> bool:
    """Where bfloat16 has a complex dtype of its own, which torch's gradcheck fails on."""
    try:
        return bool((torch.ones(1, dtype=torch.bfloat16) * 1j).numel())
    except NotImplementedError:
        return False


@modes
@pytest.mark.parametrize("name", RIGHT)
def test_right_derivative_passes_as_in_torch(name, fast_mode):
    function, inputs, options = RIGHT[name]
    torch_can = name != "half of complex" or can_multiply_bfloat16_by_i()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (TORCHS, libgrad) if torch_can else (libgrad,):
            assert module.gradcheck(function, inputs(), fast_mode=fast_mode, **options) is True


@modes
@pytest.mark.parametrize("name", WRONG)
def test_wrong_derivative_fails_as_in_torch(name, fast_mode):
    function, inputs, options = WRONG[name]
    options = {**options, "fast_mode": fast_mode}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in (TORCHS, libgrad):
            with pytest.raises(TORCHS.GradcheckError):
                module.gradcheck(function, inputs(), **options)
            assert module.gradcheck(function, inputs(), raise_exception=False, **options) is False


@modes
@pytest.mark.parametrize(
    "name",
    [n for n in RIGHT if "sparse" not in n and n not in ("constant", "no outputs", "tolerant")],
)
def test_verdict_on_second_derivatives_is_torchs(name, fast_mode):
    function, inputs, _ = RIGHT[name]
    inputs = inputs()
    theirs, ours = (
        outcome(lambda m=m: m.gradgradcheck(function, inputs, fast_mode=fast_mode))
        for m in (TORCHS, libgrad)
    )
    assert ours[0] is theirs[0]
    assert ours[1] is theirs[1] or issubclass(ours[1], theirs[1])


@modes
def test_options_of_gradgradcheck(fast_mode):
    x, w = leaf(3), leaf(3)
    f = lambda x, w: (x.sin() * w, (x * w).sum())
    vectors = [leaf(3), leaf()]
    assert libgrad.gradgradcheck(f, (x, w), vectors, fast_mode=fast_mode)
    assert libgrad.gradgradcheck(f, (x, w), [v.detach() for v in vectors], fast_mode=fast_mode)
    assert libgrad.gradgradcheck(
        f,
        (x, w),
        gen_non_contig_grad_outputs=True,
        check_fwd_over_rev=True,
        check_batched_grad=True,
        check_grad_dtypes=True,
        fast_mode=fast_mode,
    )
    forward = {"check_fwd_over_rev": True, "check_undefined_grad": False}
    assert libgrad.gradgradcheck(
        f, (x, w), check_rev_over_rev=False, fast_mode=fast_mode, **forward
    )
    once = lambda x: x * cases.square(torch.autograd.Function)(x.detach()) * x
    assert libgrad.gradcheck(torch.relu, x, fast_mode=fast_mode)
    assert not libgrad.gradgradcheck(once, x, raise_exception=False, fast_mode=fast_mode)


def test_gradgradcheck_refuses_options_as_torch():
    for options in (
        {"check_rev_over_rev": False},
        {"check_rev_over_rev": False, "check_fwd_over_rev": True},
        {"check_rev_over_rev": False, "check_fwd_over_rev": True, "check_batched_grad": True},
    ):
        for module in (TORCHS, libgrad):
            with pytest.raises(AssertionError):
                module.gradgradcheck(torch.sin, leaf(2), **options)


def test_exception_of_the_function_keeps_type_and_traceback():
    calls = []

    def function(x):
        calls.append(x)
        if len(calls) == 3:
            raise KeyboardInterrupt("third")
        return x * 2

    x = leaf(20)
    before = x.detach().clone()
    with pytest.raises(KeyboardInterrupt, match="third") as info:
        libgrad.gradcheck(function, x)
    assert info.traceback[-1].name == "function"
    assert torch.equal(x, before)


def test_interrupt_in_the_first_call_without_a_graph_goes_through():
    def function(x):
        if not torch.is_grad_enabled():
            raise KeyboardInterrupt
        return x * 2

    with pytest.raises(KeyboardInterrupt):
        libgrad.gradcheck(function, leaf(20))


def test_function_that_needs_its_graph_gets_one():
    def function(x):
        if not torch.is_grad_enabled():
            raise AttributeError("no graph")
        return x * 2

    assert libgrad.gradcheck(function, leaf(20))
    assert libgrad.gradcheck(lambda x: x * (2 if torch.is_grad_enabled() else 3), leaf(20))


def test_inputs_are_the_callers_objects():
    x, other = torch.nn.Parameter(torch.ones(2).double()), object()
    x.mark = 1

    def function(a, b):
        assert a is x
        assert b is other
        return a * 2

    assert libgrad.gradcheck(function, [x, other])
    assert x.grad is None
    assert libgrad.gradcheck(lambda *_: x.sin(), x)  # not by its argument


def test_forward_ad_knows_of_the_level_that_gradcheck_opens():
    levels = set()

    def function(x):
        levels.add(torch.autograd.forward_ad._current_level)
        return x * 2

    assert libgrad.gradcheck(function, leaf(2), check_forward_ad=True)
    assert levels == {-1, 0}
    with pytest.raises(ZeroDivisionError):
        libgrad.gradcheck(
            lambda x: x / (1 // -torch.autograd.forward_ad._current_level),
            leaf(2),
            check_forward_ad=True,
        )
    assert torch.autograd.forward_ad._current_level == -1


def test_exception_that_was_expected_leaves_nothing_behind():
    no_none = cases.without_zeros(torch.autograd.Function)
    with pytest.warns(UserWarning, match="New undefined gradient support"):
        assert not libgrad.gradcheck(no_none, leaf(2), raise_exception=False)
    assert libgrad.gradcheck(torch.sin, leaf(2))


def test_torch_intercepted_or_transformed_is_torchs_to_check():
    class Mine(torch.Tensor):
        pass

    x = leaf(2)
    assert libgrad.gradcheck(lambda x: x * 2, x.detach().as_subclass(Mine).requires_grad_())
    with torch.device("cpu"):
        assert libgrad.gradcheck(lambda x: x * 2, x)
    inside = []
    for module in (TORCHS, libgrad):

        def check(y, module=module):
            inside.append(outcome(lambda: module.gradcheck(torch.sin, x))[:2])
            return y * y

        torch.func.grad(check)(torch.ones(()))
    assert inside[0] == inside[1]


def test_can_take_torchs_place(monkeypatch):
    monkeypatch.setattr(torch.autograd, "gradcheck", libgrad.gradcheck)
    assert torch.autograd.gradcheck(
        lambda x: x.to_dense(), torch.eye(2).double().to_sparse().requires_grad_(), masked=True
    )
    from torch.testing._internal.common_utils import gradcheck

    assert gradcheck(torch.sin, leaf(2))


def test_many_threads_check_at_once():
    passed = []

    def check():
        passed.append(libgrad.gradcheck(torch.tanh, leaf(16)))

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed == [True] * 4


@modes
def test_device(device, fast_mode):
    x = torch.randn(3, device=device, dtype=torch.double, requires_grad=True)
    z = torch.randn(2, 2, device=device, dtype=torch.cdouble).t().requires_grad_()
    f = lambda x, z: (x.sin(), z * z.conj() * x[0])
    options = {"check_forward_ad": True, "check_batched_grad": True, "fast_mode": fast_mode}
    assert libgrad.gradcheck(f, (x, z), **options)
    assert libgrad.gradgradcheck(f, (x, z), fast_mode=fast_mode)
    error = fails(lambda x, z: FAILS(f(x, z)[1]), (x, z), fast_mode=fast_mode)
    assert error.analytic.device.type == device
    assert x.grad is None


def test_random_numbers_of_the_caller_are_left_alone():
    state = torch.get_rng_state()
    options = {"check_batched_grad": True, "fast_mode": True}
    assert libgrad.gradcheck(torch.sin, leaf(2), **options)
    torch.set_rng_state(state)
    x = leaf(2)
    state = torch.get_rng_state()
    assert libgrad.gradcheck(torch.sin, x, **options)
    assert libgrad.gradgradcheck(torch.sin, x, **options)
    assert torch.equal(torch.get_rng_state(), state)

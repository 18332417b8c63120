"""no_grad, enable_grad, set_grad_enabled and inference_mode, around blocks, and nested."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.modes import (
    INFERENCE,
    MODES,
    NO_GRAD,
    PLAIN,
    each_mode,
    each_outside,
    made,
    state,
    unchanged,
)

import libgrad

WITHOUT_PARENTHESES = ("no_grad", "enable_grad", "inference_mode")


@each_outside
@each_mode
def test_with_gives_what_torch_gives_inside_and_restores(ours, theirs, outside):
    traces = []
    for mode in (ours, theirs):
        with outside(), unchanged():
            with mode():
                inside = made()
            traces.append((inside, made()))
    assert traces[0] == traces[1]


nestings = st.lists(
    st.tuples(st.sampled_from(list(MODES)), st.booleans(), st.sampled_from(["with", "function"])),
    max_size=7,
)


def trace(nesting: list[tuple[str, bool, str]], fails: bool, all_of_torch: bool) -> list[Any]:
    """Return what is seen on the way in and on the way out of nested modes."""
    seen: list[Any] = [made()]

    def go(rest: list[tuple[str, bool, str]]) -> None:
        if not rest:
            if fails:
                raise KeyError("innermost")
            return
        (name, of_torch, form), *rest = rest
        mode = MODES[name][of_torch or all_of_torch]()
        seen.append(state())  # set_grad_enabled holds from the moment it is made
        if form == "with":
            with mode:
                seen.append(made())
                go(rest)
                seen.append(made())
        else:
            mode(lambda: (seen.append(made()), go(rest), seen.append(made())))()
        seen.append(made())

    with contextlib.suppress(KeyError):
        go(nesting)
    return [*seen, made()]


@settings(deadline=None, max_examples=150)
@given(nestings, st.booleans())
@example([("no_grad", False, "with"), ("enable_grad", True, "function")], True)
@example([("inference_mode", True, "with"), ("inference_mode(False)", False, "with")], False)
def test_modes_nested_with_torchs_act_as_torchs_alone(nesting, fails):
    with unchanged():
        assert trace(nesting, fails, False) == trace(nesting, fails, True)


@each_mode
@pytest.mark.parametrize("error", [ValueError("v"), KeyboardInterrupt(), StopIteration(1)])
def test_error_passes_unchanged_and_the_mode_is_restored(ours, theirs, error):
    def fail():
        raise error

    with torch.no_grad(), unchanged():
        with pytest.raises(type(error)) as raised, ours():
            fail()
        assert raised.value is error
    decorated = ours()(fail)
    with torch.no_grad(), unchanged():
        with pytest.raises(type(error)) as raised:
            decorated()
        assert raised.value is error


@each_mode
def test_enter_gives_none_and_exit_swallows_nothing_as_torchs(ours, theirs):
    for make in (ours, theirs):
        with unchanged():
            mode = make()
            assert mode.__enter__() is None
            assert not mode.__exit__(None, None, None)


@pytest.mark.parametrize("name", ["no_grad", "enable_grad", "inference_mode"])
def test_object_entered_inside_itself_undoes_one_level_at_a_time(name):
    mode = MODES[name][0]()
    with torch.set_grad_enabled(name != "enable_grad"):
        before = state()
        with mode:
            inside = state()
            assert inside != before
            with torch.inference_mode(False), torch.set_grad_enabled(before[0]):
                with mode:
                    assert state()[0] == inside[0]
                assert state() == before
            assert state() == inside
        assert state() == before


@each_outside
@each_mode
def test_object_can_be_used_again_and_also_as_decorator(ours, theirs, outside):
    with outside(), unchanged():
        mode = ours()
        function = mode(state)
        inside = function()
        for _ in range(3):
            with mode:
                assert state() == inside == function()
            with contextlib.suppress(ZeroDivisionError), mode:
                _ = 1 // 0
        assert function() == inside


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=30)


@each_mode
def test_mode_holds_for_its_thread_alone(ours, theirs):
    with torch.no_grad(), ours():
        assert in_thread(state) == PLAIN

    def enter_and_wait():
        with ours():
            entered.set()
            assert leave.wait(30)

    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=enter_and_wait)
    with unchanged():
        thread.start()
        assert entered.wait(30)
        seen = state()
        leave.set()
        thread.join()
    assert seen == PLAIN


@pytest.mark.parametrize("name", ["no_grad", "inference_mode"])
def test_object_entered_by_two_threads_at_once_restores_each(name):
    mode = MODES[name][0]()
    in_first, in_second, out_of_first = threading.Event(), threading.Event(), threading.Event()

    def first():
        with torch.no_grad():
            with mode:
                in_first.set()
                assert in_second.wait(30)
            after = state()
        out_of_first.set()
        return after

    def second():
        assert in_first.wait(30)
        with mode:
            in_second.set()
            assert out_of_first.wait(30)
            inside = state()
        return inside, state()

    with ThreadPoolExecutor(2) as pool:
        runs = pool.submit(first), pool.submit(second)
        inside = NO_GRAD if name == "no_grad" else INFERENCE
        assert [run.result(60) for run in runs] == [NO_GRAD, (inside, PLAIN)]


def test_set_grad_enabled_as_a_plain_call_holds_until_the_next():
    libgrad.set_grad_enabled(False)
    assert state() == NO_GRAD
    assert in_thread(state) == PLAIN
    libgrad.set_grad_enabled(mode=True)
    assert state() == PLAIN


@pytest.mark.parametrize("mode", [True, False])
@each_outside
def test_set_grad_enabled_as_a_decorator_changes_nothing_but_the_function(mode, outside):
    with outside(), unchanged():
        before = state()

        @libgrad.set_grad_enabled(mode)
        def function():
            return state()

        assert state() == before
        assert function()[0] == mode


@each_outside
def test_set_grad_enabled_restores_what_was_there_when_it_was_made_as_torchs(outside):
    traces = []
    for mode in (libgrad.set_grad_enabled, torch.set_grad_enabled):
        with outside():
            manager = mode(False)
            seen = [state()]
            for other in (torch.enable_grad, torch.no_grad):
                with other():
                    with manager:
                        seen.append(state())
                    seen.append(state())
                seen.append(state())
            traces.append(seen)
        torch.set_grad_enabled(True)
    assert traces[0] == traces[1]


def test_inference_tensor_cannot_be_saved_for_backward_as_torchs():
    messages = []
    for mode in (libgrad.inference_mode, torch.inference_mode):
        with mode():
            y = torch.ones(2)
        assert y.is_inference()
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved") as raised:
            y * torch.ones(2, requires_grad=True)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


def test_state_functions_follow_torchs_modes():
    for mode, expected in (
        (torch.no_grad, NO_GRAD),
        (torch.enable_grad, PLAIN),
        (torch.inference_mode, INFERENCE),
        (lambda: torch.inference_mode(False), PLAIN),
    ):
        with mode():
            assert (libgrad.is_grad_enabled(), libgrad.is_inference_mode_enabled()) == expected
        assert (libgrad.is_grad_enabled(), libgrad.is_inference_mode_enabled()) == PLAIN


@pytest.mark.parametrize("mode", [1, 0, None, "True", torch.tensor(True), state])
def test_set_grad_enabled_takes_nothing_but_a_bool_as_torchs(mode):
    with unchanged():
        for function in (libgrad.set_grad_enabled, torch.set_grad_enabled):
            with pytest.raises(TypeError, match="must be bool"):
                function(mode)


@pytest.mark.parametrize("mode", [1, None, "True", torch.tensor(True)])
def test_inference_mode_takes_a_bool_or_a_function(mode):
    with unchanged(), pytest.raises(TypeError, match="expected a function to decorate, but got"):
        libgrad.inference_mode(mode)


def test_wrong_arguments_are_type_errors_as_torchs():
    for wrong in (
        lambda m: m.no_grad(1, 2),
        lambda m: m.no_grad(None),
        lambda m: m.no_grad(mode=True),
        lambda m: m.enable_grad(state, state),
        lambda m: m.set_grad_enabled(),
        lambda m: m.set_grad_enabled(True, False),
        lambda m: m.inference_mode(True, False),
        lambda m: m.is_grad_enabled(1),
        lambda m: m.is_inference_mode_enabled(1),
    ):
        for module in (libgrad, torch):
            with unchanged(), pytest.raises(TypeError):
                wrong(module)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("name", ["set_grad_enabled", "inference_mode"])
def test_repr_tells_the_mode(name, mode):
    with torch.set_grad_enabled(True):
        assert repr(getattr(libgrad, name)(mode)) == f"libgrad.{name}(mode={mode})"

"""Modes around generators: the body runs in the mode, what asks for its items does not."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.modes import (
    MODES,
    NO_GRAD,
    OUTSIDES,
    PLAIN,
    each_mode,
    each_outside,
    made,
    state,
    unchanged,
)

import libgrad


def chatty(seen: list[Any]) -> Iterator[Any]:
    """Note the state at every step, and all that arrives; end after 8 steps."""
    try:
        for i in range(8):
            seen.append(made())
            try:
                got = yield i
                seen.append(("sent", got, state()))
            except KeyError as error:
                seen.append(("caught", error.args, state()))
        return "returned"
    except GeneratorExit:
        seen.append(("closing", state()))
        raise
    finally:
        seen.append(("finally", state()))


def drive(body: Callable[..., Any], script: list[tuple[str, Any]]) -> list[Any]:
    """Run one generator by a script; return what it saw and what its caller saw."""
    seen: list[Any] = []
    steps = body(seen)
    for action, value in script:
        with OUTSIDES[value]() if action == "next in" else contextlib.nullcontext():
            try:
                if action == "send":
                    seen.append(("item", steps.send(value)))
                elif action == "throw":
                    seen.append(("item", steps.throw(value)))
                elif action == "close":
                    seen.append(("closed", steps.close()))
                else:
                    seen.append(("item", next(steps)))
            except StopIteration as stop:
                seen.append(("stop", stop.value))
            except Exception as error:
                seen.append((type(error), str(error)))
            seen.append(("caller", made()))
    del steps  # which closes it
    return [*seen, ("caller", made())]


actions = st.one_of(
    st.tuples(st.just("next in"), st.sampled_from(list(OUTSIDES))),
    st.tuples(st.just("send"), st.one_of(st.none(), st.integers(0, 9))),
    st.tuples(st.just("throw"), st.sampled_from([KeyError("k"), ValueError("v"), StopIteration()])),
    st.tuples(st.just("close"), st.none()),
)


@pytest.mark.parametrize("name", MODES)
@settings(deadline=None, max_examples=60)
@given(script=st.lists(actions, max_size=12))
@example(script=[("next in", "in no_grad"), ("throw", KeyError("k")), ("send", 3), ("close", None)])
@example(script=[("next in", "plain")] * 10)
@example(script=[("send", 1), ("next in", "in inference_mode")])
def test_generator_acts_as_under_torchs_decorator(name, script):
    ours, theirs = MODES[name]
    with unchanged():
        ours_decorated = ours()(chatty)
        theirs_decorated = theirs()(chatty)
        assert drive(ours_decorated, script) == drive(theirs_decorated, script)


@each_outside
@each_mode
def test_caller_keeps_its_mode_between_the_steps(ours, theirs, outside):
    body = ours()(chatty)
    torch.set_grad_enabled(True)
    inside = theirs()(state)()
    torch.set_grad_enabled(True)
    seen: list[Any] = []
    with outside(), unchanged():
        before = state()
        steps = body(seen)
        assert state() == before
        for _ in steps:
            assert state() == before
    if outside is contextlib.nullcontext:
        assert {s for *_, s in (m for m in seen if len(m) == 3)} == {inside}


def test_return_value_arrives_by_yield_from():
    @libgrad.no_grad
    def inner():
        got = yield 1
        return got, state()

    def outer():
        return (yield from inner())

    steps = outer()
    assert next(steps) == 1
    with pytest.raises(StopIteration) as stop:
        steps.send("sent")
    assert stop.value.value == ("sent", NO_GRAD)
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value is None


def test_undecorated_generators_inside_run_in_the_mode_too():
    def inner():
        yield state()
        yield state()

    @libgrad.inference_mode
    def outer():
        yield from inner()
        yield from list(inner())

    assert set(outer()) == {(False, True)}


def test_generators_of_different_modes_take_turns():
    def body():
        for _ in range(3):
            yield state()

    @libgrad.no_grad()
    def nested():
        yield from libgrad.enable_grad()(body)()

    quiet, loud = libgrad.no_grad(body)(), libgrad.inference_mode(body)()
    for items in zip(quiet, loud, nested(), body(), strict=True):
        assert items == (NO_GRAD, (False, True), PLAIN, PLAIN)
        assert state() == PLAIN


def test_mode_that_the_body_sets_does_not_reach_the_caller():
    @libgrad.no_grad
    def body():
        torch.set_grad_enabled(True)
        yield state()
        yield state()

    with unchanged():
        steps = body()
        assert next(steps) == PLAIN
        assert state() == PLAIN
        with torch.no_grad():
            assert next(steps) == NO_GRAD
            assert state() == NO_GRAD


def test_dropped_generator_cleans_up_in_the_mode():
    seen = []

    @libgrad.no_grad
    def body():
        try:
            yield
        finally:
            seen.append(state())

    with unchanged():
        steps = body()
        next(steps)
        del steps
        assert seen == [NO_GRAD]


def test_generator_that_was_not_started_runs_nothing_when_closed():
    seen: list[Any] = []
    libgrad.no_grad(chatty)(seen).close()
    assert seen == []


def test_generator_that_goes_on_after_close_is_told_so():
    @libgrad.no_grad
    def stubborn():
        for i in range(2):
            with contextlib.suppress(GeneratorExit):
                yield i

    steps = stubborn()
    next(steps)
    with unchanged(), pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        steps.close()


def test_error_thrown_in_is_the_one_that_comes_out_with_the_line_of_the_body():
    @libgrad.no_grad
    def body():
        yield 1  # here

    steps = body()
    next(steps)
    error = ValueError("v")
    with unchanged(), pytest.raises(ValueError, match="v") as raised:
        steps.throw(error)
    assert raised.value is error
    assert error.__context__ is None
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__)]
    assert "yield 1  # here" in lines


def test_contextmanager_of_a_decorated_generator_leaves_the_block_alone():
    seen = []

    @contextlib.contextmanager
    @libgrad.no_grad()
    def manager():
        seen.append(state())
        try:
            yield "value"
        except KeyError:
            seen.append(("caught", state()))
        finally:
            seen.append(state())

    with unchanged(), manager() as value:
        assert (value, state()) == ("value", PLAIN)
        raise KeyError
    assert seen == [NO_GRAD, ("caught", NO_GRAD), NO_GRAD]


@each_mode
def test_decorated_generator_function_is_known_as_one(ours, theirs):
    with torch.set_grad_enabled(True):
        decorated = ours()(chatty)
        assert inspect.isgeneratorfunction(decorated)
        assert inspect.isgenerator(decorated([]))
        assert decorated.__name__ == "chatty"
        assert decorated.__doc__ == chatty.__doc__
        assert inspect.signature(decorated) == inspect.signature(chatty)


def test_generator_method_is_bound():
    class Numbers:
        n = 3

        @libgrad.no_grad
        def __iter__(self):
            for i in range(self.n):
                yield i, state()

    assert list(Numbers()) == [(i, NO_GRAD) for i in range(3)]

"""Modes around coroutines: what runs while they wait is in its own mode."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Generator
from typing import Any

import pytest
import torch
from support.modes import INFERENCE, NO_GRAD, PLAIN, each_mode, made, state, unchanged

import libgrad


class Pause:
    """Awaited, hands `item` to whoever runs the coroutine and gives back what is sent."""

    def __init__(self, item: Any = None) -> None:
        self.item = item

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.item)


def modes_inside(make: Any) -> Any:
    """Return what `made` gives in a mode."""
    with torch.set_grad_enabled(True), make():
        return made()


@each_mode
def test_coroutine_runs_in_the_mode_and_waits_outside(ours, theirs):
    inside = modes_inside(theirs)

    async def body(a, *, b):
        seen = [made()]
        seen.append(await Pause("first"))
        seen.append(made())
        seen.append(await Pause("second"))
        return a, b, *seen, made()

    with torch.set_grad_enabled(True):
        decorated = ours()(body)
        outside = made()
        assert inspect.iscoroutinefunction(decorated)
        assert inspect.signature(decorated) == inspect.signature(body)
        steps = decorated(1, b=2)
        assert inspect.iscoroutine(steps)
        assert (steps.send(None), made()) == ("first", outside)
        with torch.no_grad():
            assert (steps.send(3), state()) == ("second", NO_GRAD)
        with pytest.raises(StopIteration) as stop:
            steps.send(4)
        assert stop.value.value == (1, 2, inside, 3, inside, 4, inside)
        assert made() == outside


@pytest.mark.parametrize("mode", [libgrad.no_grad, libgrad.enable_grad, libgrad.inference_mode])
def test_coroutine_functions_need_no_parentheses(mode):
    @mode
    async def body():
        await asyncio.sleep(0)
        return made()

    with unchanged():
        assert asyncio.run(body()) == modes_inside(mode)


def test_tasks_that_take_turns_keep_to_their_modes():
    async def body(expected, turns):
        for _ in range(20):
            assert state() == expected
            turns.append(expected)
            await asyncio.sleep(0)
        assert state() == expected

    async def main():
        turns: list[Any] = []
        await asyncio.gather(
            libgrad.no_grad(body)(NO_GRAD, turns),
            body(PLAIN, turns),
            libgrad.inference_mode(body)(INFERENCE, turns),
            libgrad.set_grad_enabled(False)(body)(NO_GRAD, turns),
            libgrad.no_grad(libgrad.enable_grad(body))(PLAIN, turns),
        )
        assert turns[:5] == [NO_GRAD, PLAIN, INFERENCE, NO_GRAD, PLAIN] == turns[5:10]
        assert state() == PLAIN

    with unchanged():
        asyncio.run(main())


def test_tasks_and_threads_started_inside_are_not_in_the_mode():
    async def child():
        seen = [state()]
        await asyncio.sleep(0)
        return [*seen, state()]

    @libgrad.no_grad()
    async def parent():
        task = asyncio.create_task(child())
        inline = await child()
        return await task, inline, await asyncio.to_thread(state)

    assert asyncio.run(parent()) == ([PLAIN, PLAIN], [NO_GRAD, NO_GRAD], PLAIN)


def test_error_leaves_a_coroutine_unchanged_and_restores():
    error = KeyError("inside")

    @libgrad.no_grad
    async def body():
        await asyncio.sleep(0)
        raise error

    with unchanged(), pytest.raises(KeyError) as raised:
        asyncio.run(body())
    assert raised.value is error


def test_cancelled_coroutine_cleans_up_in_the_mode():
    seen = []

    @libgrad.no_grad()
    async def body():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append(state())
            await asyncio.sleep(0)
            seen.append(state())
            raise
        finally:
            seen.append(state())

    async def main():
        task = asyncio.create_task(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert state() == PLAIN
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(body(), 0.01)
        assert state() == PLAIN

    with unchanged():
        asyncio.run(main())
    assert seen == [NO_GRAD] * 6


def test_coroutine_can_be_thrown_into_and_closed_by_hand():
    seen = []

    @libgrad.no_grad
    async def body():
        try:
            await Pause()
        except KeyError:
            seen.append(("caught", state()))
        try:
            await Pause("again")
        finally:
            seen.append(("finally", state()))

    with unchanged():
        steps = body()
        steps.send(None)
        assert steps.throw(KeyError()) == "again"
        assert state() == PLAIN
        steps.close()
        assert seen == [("caught", NO_GRAD), ("finally", NO_GRAD)]
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            steps.send(None)

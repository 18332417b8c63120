"""Modes around async generators: the body runs in the mode, what reads its items does not."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
import torch
from support.modes import INFERENCE, NO_GRAD, PLAIN, each_mode, state, unchanged

import libgrad


async def echo(seen: list[Any]) -> AsyncIterator[Any]:
    """Yield numbers; note all that arrives, and the state around every await."""
    try:
        for i in range(4):
            await asyncio.sleep(0)
            seen.append(state())
            try:
                seen.append(("sent", (yield i), state()))
            except KeyError as error:
                seen.append(("caught", error.args, state()))
    finally:
        await asyncio.sleep(0)
        seen.append(("finally", state()))


@each_mode
def test_async_generator_runs_in_the_mode_and_its_reader_does_not(ours, theirs):
    with torch.set_grad_enabled(True), theirs():
        inside = state()

    async def main():
        seen: list[Any] = []
        decorated = ours()(echo)
        before = state()
        assert inspect.isasyncgenfunction(decorated)
        assert inspect.isasyncgen(decorated([]))
        items = []
        async for item in decorated(seen):
            assert state() == before
            items.append(item)
        assert items == [0, 1, 2, 3]
        assert seen == [inside, ("sent", None, inside)] * 4 + [("finally", inside)]
        return before == state()

    with torch.set_grad_enabled(True):
        assert asyncio.run(main())


def run_script(decorate: Any, expected_state: tuple[bool, bool]) -> list[Any]:
    """Send, throw, close; return all that comes out and all that the body saw but states."""

    async def main() -> list[Any]:
        seen: list[Any] = []
        steps = decorate(echo)(seen)
        out: list[Any] = [await steps.__anext__(), await steps.asend("a")]
        out.append(await steps.athrow(KeyError("k")))
        out.append(await steps.asend("b"))
        with pytest.raises(StopAsyncIteration):
            await steps.asend("c")
        with pytest.raises(StopAsyncIteration):
            await steps.__anext__()
        closed = decorate(echo)(seen)
        out.append(await closed.__anext__())
        out.append(await closed.aclose())
        out.append(await closed.aclose())
        with pytest.raises(StopAsyncIteration):
            await closed.__anext__()
        failed = decorate(echo)(seen)
        with pytest.raises(TypeError, match="can't send non-None"):
            await failed.asend(1)
        await failed.__anext__()
        error = ValueError("v")
        with pytest.raises(ValueError, match="v") as raised:
            await failed.athrow(error)
        assert raised.value is error
        unstarted = decorate(echo)(seen)
        out.append(await unstarted.aclose())
        assert state() == PLAIN
        for event in seen:
            assert (event[-1] if isinstance(event[-1], tuple) else event) == expected_state
        return [out, [e[:-1] for e in seen if isinstance(e[-1], tuple)]]

    return asyncio.run(main())


def test_asend_athrow_and_aclose_act_as_without_a_decorator():
    with unchanged():
        plain = run_script(lambda function: function, PLAIN)
        assert run_script(libgrad.no_grad, NO_GRAD) == plain
        assert run_script(libgrad.inference_mode(), INFERENCE) == plain


def test_async_generators_interleaved_keep_to_their_modes():
    async def body():
        for _ in range(5):
            await asyncio.sleep(0)
            yield state()

    async def read(decorate, expected):
        async for item in decorate(body)():
            assert (item, state()) == (expected, PLAIN)
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(
            read(libgrad.no_grad(), NO_GRAD),
            read(libgrad.inference_mode(), INFERENCE),
            read(libgrad.enable_grad(), PLAIN),
            read(lambda function: function, PLAIN),
        )

    with unchanged():
        asyncio.run(main())


def test_async_generator_left_early_cleans_up_in_the_mode():
    async def main():
        seen: list[Any] = []
        async for _ in libgrad.no_grad(echo)(seen):
            break
        assert state() == PLAIN
        async with contextlib.aclosing(libgrad.no_grad(echo)(seen)) as steps:
            async for _ in steps:
                break
        assert state() == PLAIN
        return seen

    with unchanged():
        seen = asyncio.run(main())
    assert seen.count(("finally", NO_GRAD)) == 2
    assert all(s == NO_GRAD for s in seen if isinstance(s[0], bool))


def test_asynccontextmanager_of_a_decorated_generator_leaves_the_block_alone():
    seen = []

    @contextlib.asynccontextmanager
    @libgrad.no_grad
    async def manager():
        await asyncio.sleep(0)
        try:
            yield state()
        except KeyError:
            await asyncio.sleep(0)
            seen.append(state())

    async def main():
        async with manager() as value:
            assert (value, state()) == (NO_GRAD, PLAIN)
            raise KeyError
        assert state() == PLAIN

    asyncio.run(main())
    assert seen == [NO_GRAD]


def test_async_methods_are_bound():
    class Model:
        n = 2

        @libgrad.no_grad
        async def one(self):
            return self.n, state()

        @libgrad.no_grad()
        async def many(self):
            for i in range(self.n):
                yield i, state()

    async def main():
        return [await Model().one()] + [item async for item in Model().many()]

    assert asyncio.run(main()) == [(2, NO_GRAD), (0, NO_GRAD), (1, NO_GRAD)]

"""Decorate a function with a guard: functions, generators, coroutines, async generators."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Protocol, TypeVar

__all__ = ["F", "Guard", "decorate"]

F = TypeVar("F", bound=Callable[..., Any])


class Guard(Protocol):
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def decorate(guard: Callable[[], Guard], function: F) -> F:
    """Return `function` with a guard around the code of its body, and no other code.

    Generators and coroutines are guarded step by step: code that runs between steps is not guarded.
    """
    if inspect.isclass(function):
        raise TypeError(
            f"cannot decorate the class {function.__name__}: it is not clear whether only its "
            "construction or every method is meant. Decorate the methods that need it"
        )
    if not callable(function):
        raise TypeError(f"expected a function to decorate, but got {type(function).__name__}")

    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            steps = function(*args, **kwargs)
            try:
                step = steps.__anext__()
                while True:
                    try:
                        item = await _awaited(guard, step)
                    except StopAsyncIteration:
                        return
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        step = steps.athrow(error)
                    else:
                        step = steps.asend(sent)
            finally:
                await _awaited(guard, steps.aclose())

    elif inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(guard, function(*args, **kwargs))

    elif inspect.isgeneratorfunction(function):

        def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            return (yield from _guarded(guard, function(*args, **kwargs)))

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with guard():
                return function(*args, **kwargs)

    return functools.wraps(function)(wrapper)  # type: ignore[return-value]


def _guarded(guard: Callable[[], Guard], steps: Any) -> Generator[Any, Any, Any]:
    """Run a generator (or the iterator of an awaitable), each step inside a new guard."""
    advance: Callable[[], Any] = functools.partial(next, steps)
    while True:
        try:
            with guard():
                item = advance()
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield item
        except GeneratorExit:
            with guard():
                steps.close()
            raise
        except BaseException as error:
            advance = functools.partial(steps.throw, error)
        else:
            advance = (
                functools.partial(next, steps)
                if sent is None
                else functools.partial(steps.send, sent)
            )


@types.coroutine
def _awaited(guard: Callable[[], Guard], awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await `awaitable`, each step inside a new guard."""
    return (yield from _guarded(guard, awaitable.__await__()))

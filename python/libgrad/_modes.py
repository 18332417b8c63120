"""Grad, inference and anomaly modes: LibTorch's guards as context managers and decorators."""

from __future__ import annotations

import functools
import inspect
import threading
import types
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Protocol, TypeVar, overload

from . import _C

__all__ = ["detect_anomaly", "enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]

F = TypeVar("F", bound=Callable[..., Any])


class _Guard(Protocol):
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


class _Mode:
    """A mode that holds inside ``with``, and whenever a decorated function runs.

    One object may be entered inside itself and by many threads; leaving undoes one level.
    """

    def __init__(self) -> None:
        self._entered: dict[int, list[_Guard]] = {}  # of each thread that is inside

    def _guard(self) -> _Guard:
        """Return a new guard of LibTorch's, to be entered once."""
        raise NotImplementedError

    def __enter__(self) -> None:
        guard = self._guard()
        guard.__enter__()
        self._entered.setdefault(threading.get_ident(), []).append(guard)

    def __exit__(self, *error: object) -> None:
        self._entered[threading.get_ident()].pop().__exit__(*error)

    def __call__(self, function: F) -> F:
        return _decorate(self._guard, function)


def _decorate(guard: Callable[[], _Guard], function: F) -> F:
    """Return `function` with a guard around all that its body does, and nothing else.

    Generators and coroutines are guarded step by step: what runs between the steps is not.
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


def _guarded(guard: Callable[[], _Guard], steps: Any) -> Generator[Any, Any, Any]:
    """Run a generator (or what a coroutine awaits), each of its steps inside a new guard."""
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


def _check_bool(value: object, function: str, argument: str) -> None:
    if not isinstance(value, bool):  # torch refuses None and 1, too
        hint = f"; to decorate, write @{function}(...)" if callable(value) else ""
        raise TypeError(f"{function}: {argument} must be bool, not {type(value).__name__}{hint}")


@types.coroutine
def _awaited(guard: Callable[[], _Guard], awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await with each step inside a new guard."""
    return (yield from _guarded(guard, awaitable.__await__()))


class _NoArgumentMode(_Mode):
    """A mode that decorates with or without parentheses."""

    @overload
    def __new__(cls, function: F) -> F: ...  # type: ignore[misc]
    @overload
    def __new__(cls) -> _NoArgumentMode: ...
    def __new__(cls, function: Any = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        cls.__init__(mode)
        return mode(function)


class no_grad(_NoArgumentMode):
    """Record nothing: results do not require grad, whatever they are computed from.

    It holds for the calling thread, inside ``with`` or in a decorated function (also a
    generator, a coroutine or an async generator), and is undone on every way out. It is
    torch.no_grad, by LibTorch's ``at::AutoGradMode``.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with libgrad.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    >>> @libgrad.no_grad()
    ... def double(x):
    ...     return x * 2
    >>> double(x).requires_grad
    False
    """

    def _guard(self) -> _Guard:
        return _C.GradMode(False)


class enable_grad(_NoArgumentMode):
    """Record again inside `no_grad`; otherwise as `no_grad`.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with libgrad.no_grad(), libgrad.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    def _guard(self) -> _Guard:
        return _C.GradMode(True)


class set_grad_enabled(_Mode):
    """Record or do not, by `mode`: at once, or for a ``with`` block, or for a function.

    As a plain call it holds until it is called again; as a context manager or a decorator it
    is undone on every way out. It is torch.set_grad_enabled, for the calling thread.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with libgrad.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    >>> _ = libgrad.set_grad_enabled(True)
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        _check_bool(mode, "set_grad_enabled", "mode")
        self._before = _C.is_grad_enabled()
        self.mode = mode
        _C.set_grad_enabled(mode)

    def __enter__(self) -> None:
        _C.set_grad_enabled(self.mode)

    def __exit__(self, *error: object) -> None:
        _C.set_grad_enabled(self._before)

    def __call__(self, function: F) -> F:
        _C.set_grad_enabled(self._before)
        return super().__call__(function)

    def __repr__(self) -> str:
        return f"libgrad.set_grad_enabled(mode={self.mode})"

    def _guard(self) -> _Guard:
        return _C.GradMode(self.mode)


class _ArgumentMode(_Mode):
    """A mode of one bool; apart from `inference_mode`, whose type is told by its __new__."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = mode


class inference_mode(_ArgumentMode):
    """Record nothing and track no versions, for results that will never meet autograd.

    It is torch.inference_mode, by LibTorch's ``c10::InferenceMode``: faster than `no_grad`,
    and tensors made in it cannot be saved for a backward later. For the calling thread.

    >>> with libgrad.inference_mode():
    ...     y = torch.ones(2) * 2
    >>> y.is_inference()
    True

    Args:
        mode: True to enter the mode, False to leave it inside; or the function to decorate.
    """

    @overload
    def __new__(cls, mode: F) -> F: ...  # type: ignore[misc]
    @overload
    def __new__(cls, mode: bool = True) -> inference_mode: ...
    def __new__(cls, mode: Any = True) -> Any:
        if isinstance(mode, bool):
            return super().__new__(cls)
        return cls()(mode)

    def __repr__(self) -> str:
        return f"libgrad.inference_mode(mode={self.mode})"

    def _guard(self) -> _Guard:
        return _C.InferenceMode(self.mode)


class detect_anomaly(_Mode):
    """Find the forward operation behind a backward that fails or makes a NaN.

    The forward must run inside it too. It is torch.autograd.detect_anomaly, which also warns;
    unlike the other modes LibTorch keeps it for the whole process, all threads at once, and it
    slows everything down: for debugging only.

    >>> x = torch.tensor(0.0, requires_grad=True)
    >>> with warnings.catch_warnings(), libgrad.detect_anomaly():
    ...     libgrad.backward(x.sqrt() * 0)
    Traceback (most recent call last):
    ...
    RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output.

    Args:
        check_nan: Raise RuntimeError when a backward makes a NaN.
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        _check_bool(check_nan, "detect_anomaly", "check_nan")
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. "
            "This mode will increase the runtime and should only be enabled for debugging.",
            stacklevel=2,
        )

    def _guard(self) -> _Guard:
        return _C.DetectAnomaly(self.check_nan)

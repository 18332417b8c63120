"""Grad, inference and anomaly modes: LibTorch's guards as context managers and decorators."""

from __future__ import annotations

import threading
import warnings
from typing import Any, overload

import torch

from .. import _C
from .decorate import F, Guard, decorate

__all__ = ["detect_anomaly", "enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]


_alive: set[_Mode] = set()  # modes that were entered and not left: dropping one must not leave it


def _grad_mode(enabled: bool) -> Guard:
    """Return LibTorch's guard, or torch's while a TorchFunctionMode has to see the switch."""
    if _C.is_torch_function_mode_enabled():
        seen: Any = torch.enable_grad() if enabled else torch.no_grad()
        return seen  # type: ignore[no-any-return]
    return _C.GradMode(enabled)


def _inference_mode(mode: bool) -> Guard:
    return _C.InferenceMode(mode)


class _Mode:
    """A mode that holds inside ``with``, and whenever a decorated function runs.

    One object may be entered inside itself and by several threads; leaving undoes one level.
    """

    def __init__(self) -> None:
        # no argument here: type checkers read the arguments of subclasses from their __new__
        self._entered: list[tuple[int, Guard]] = []  # (thread, guard), outermost first

    def _guard(self) -> Guard:
        """Return a new guard of LibTorch's, to be entered once."""
        raise NotImplementedError

    def __enter__(self) -> None:
        guard = self._guard()
        guard.__enter__()
        self._entered.append((threading.get_ident(), guard))
        _alive.add(self)

    def __exit__(self, *error: object) -> None:
        if not self._entered:
            raise RuntimeError(f"{type(self).__name__}: left without being entered")
        thread = threading.get_ident()
        mine = [i for i, (entered_by, _) in enumerate(self._entered) if entered_by == thread]
        _, guard = self._entered.pop(mine[-1] if mine else -1)
        if not self._entered:
            _alive.discard(self)
        guard.__exit__(*error)

    def __call__(self, function: F) -> F:
        return decorate(self._guard, function)


def _check_bool(value: object, function: str, argument: str) -> None:
    if not isinstance(value, bool):  # torch refuses None and 1, too
        hint = f"; to decorate, write @{function}(...)" if callable(value) else ""
        raise TypeError(f"{function}: {argument} must be bool, not {type(value).__name__}{hint}")


class _NoArgumentMode(_Mode):
    """A mode whose decorator may be written with or without parentheses."""

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

    The mode holds for the calling thread, inside ``with`` or in a decorated function (also a
    generator, a coroutine or an async generator), and ends with the block, also by an exception.
    It is torch.no_grad, by LibTorch's ``at::AutoGradMode``.

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

    def _guard(self) -> Guard:
        return _grad_mode(False)


class enable_grad(_NoArgumentMode):
    """Record again inside `no_grad`; otherwise as `no_grad`.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with libgrad.no_grad(), libgrad.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    def _guard(self) -> Guard:
        return _grad_mode(True)


class set_grad_enabled(_Mode):
    """Record or do not, by `mode`: at once, or for a ``with`` block, or for a function.

    As a plain call it holds until the next call; as a context manager or a decorator it ends with
    the block or the function, also by an exception. It is torch.set_grad_enabled, for the calling
    thread.

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
        self._set(mode)

    def __enter__(self) -> None:
        self._set(self.mode)

    def __exit__(self, *error: object) -> None:
        self._set(self._before)

    def __call__(self, function: F) -> F:
        self._set(self._before)
        return super().__call__(function)

    def __repr__(self) -> str:
        return f"libgrad.set_grad_enabled(mode={self.mode})"

    def _set(self, enabled: bool) -> None:
        if _C.is_torch_function_mode_enabled():  # as in _grad_mode
            torch.set_grad_enabled(enabled)
        else:
            _C.set_grad_enabled(enabled)

    def _guard(self) -> Guard:
        return _grad_mode(self.mode)


class _ArgumentMode(_Mode):
    """A mode of one bool; a base of `inference_mode`, so that type checkers read its __new__."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = mode


class inference_mode(_ArgumentMode):
    """Record nothing and track no versions, for results that autograd will never use.

    It is torch.inference_mode, by LibTorch's ``c10::InferenceMode``, for the calling thread. It is
    faster than `no_grad`, but tensors made in it cannot be saved for a backward later.

    >>> with libgrad.inference_mode():
    ...     y = torch.ones(2) * 2
    >>> y.is_inference()
    True

    Args:
        mode: True to enter the mode, False to leave it inside the block; or the function to
            decorate.
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

    def _guard(self) -> Guard:
        return _inference_mode(self.mode)


class detect_anomaly(_Mode):
    """Find the forward operation behind a backward that fails or makes a NaN.

    The forward must run inside the mode, too. It is torch.autograd.detect_anomaly, which also
    warns. Unlike the other modes it holds for all threads of the process, and it slows everything
    down: use it only for debugging.

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

    def _guard(self) -> Guard:
        return _C.DetectAnomaly(self.check_nan)

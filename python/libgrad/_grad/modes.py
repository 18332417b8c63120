"""Grad, inference and anomaly modes: LibTorch's guards as context managers and decorators."""

from __future__ import annotations

import threading
import warnings
from typing import Any, overload

import torch

from .. import _C
from .decorate import F, Guard, decorate

__all__ = ["detect_anomaly", "enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]


_alive: set[_Mode] = set()  # those entered and not left: dropping one does not leave it


def _grad_mode(enabled: bool) -> Guard:
    """Return LibTorch's guard; torch's own while a TorchFunctionMode wants to see the switch."""
    if _C.is_torch_function_mode_enabled():
        seen: Any = torch.enable_grad() if enabled else torch.no_grad()
        return seen  # type: ignore[no-any-return]
    return _C.GradMode(enabled)


class _Mode:
    """A mode that holds inside ``with``, and whenever a decorated function runs.

    One object may be entered inside itself and by many threads; leaving undoes one level.
    """

    def __init__(self) -> None:
        # takes no argument: here, and not below, so that types are told by __new__ there
        self._entered: list[tuple[int, Guard]] = []  # by which threads, outermost first

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

    def _guard(self) -> Guard:
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

    def _guard(self) -> Guard:
        return _C.DetectAnomaly(self.check_nan)

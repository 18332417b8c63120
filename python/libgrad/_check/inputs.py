"""The tensors in a function's arguments: takes them out, and puts others in their place."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .compare import describe

__all__ = ["differentiable", "fill", "fresh", "rebuild", "signature", "tensors_in"]


def differentiable(t: Tensor) -> bool:
    """Return whether a tensor can have a gradient."""
    return t.is_floating_point() or t.is_complex()


def tensors_in(value: Any, path: str = "") -> list[tuple[str, Tensor]]:
    """Return the tensors in tuples, lists and dicts, each with its path: ``0[2]``, ``0.bias``."""
    if isinstance(value, Tensor):
        return [(path, value)]
    if isinstance(value, dict):
        named = [(f"{path}.{key}" if path else str(key), each) for key, each in value.items()]
    elif isinstance(value, (tuple, list)):
        named = [(f"{path}[{i}]" if path else str(i), each) for i, each in enumerate(value)]
    else:
        return []
    return [found for name, each in named for found in tensors_in(each, name)]


def fill(value: Any, tensors: Iterator[Tensor]) -> Any:
    """Return `value` with its tensors replaced, in the order of `tensors_in`."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {key: fill(each, tensors) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*[fill(each, tensors) for each in value])
    if isinstance(value, (tuple, list)):
        filled = [fill(each, tensors) for each in value]
        return tuple(filled) if isinstance(value, tuple) else filled
    return value


def rebuild(
    args: tuple[Any, ...], kwargs: dict[str, Any], tensors: Sequence[Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with `tensors` in place of theirs."""
    new = iter(tensors)
    return tuple([fill(each, new) for each in args]), fill(kwargs, new)


def _word(value: Any) -> str:
    if isinstance(value, Tensor):
        return describe(value)
    if isinstance(value, (tuple, list)):
        inside = ", ".join(_word(each) for each in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_word(each)}" for key, each in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def signature(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a description of the call: ``swish(float64 [3, 4], beta=1.5)``."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        name = type(function).__name__
    owner = getattr(function, "__self__", None)
    if inspect.ismethod(function) or isinstance(owner, type):
        name = f"{owner.__name__ if isinstance(owner, type) else type(owner).__name__}.{name}"
    words = [_word(each) for each in args]
    words += [f"{key}={_word(each)}" for key, each in kwargs.items()]
    return f"{name}({', '.join(words)})"


def fresh(t: Tensor) -> Tensor:
    """Return a copy of a tensor that shares nothing with it: a leaf that does not require grad."""
    with torch.inference_mode(False), torch.no_grad():
        return t.detach().clone()

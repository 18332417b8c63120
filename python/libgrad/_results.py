"""How results are copied and pickled."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

__all__ = ["immutable", "refuse_pickle"]

T = TypeVar("T")


def _itself(self: T, memo: object = None) -> T:
    return self


def immutable(cls: type[T]) -> type[T]:
    """Make any copy of an instance of `cls` the instance itself, which never changes."""
    copied: Any = cls
    copied.__copy__ = copied.__deepcopy__ = _itself
    return cls


def refuse_pickle(cls: type[Any], what: str, instead: str) -> None:
    """Make pickling an instance of `cls` raise a TypeError that says what to keep instead."""

    def __reduce_ex__(self: object, protocol: object) -> NoReturn:
        name = type(self).__qualname__
        raise TypeError(f"{name}: {what} cannot be pickled; {instead}")

    cls.__reduce_ex__ = __reduce_ex__  # type: ignore[assignment]

"""The names that lead to an object, by the garbage collector's referrers and frames' locals."""

from __future__ import annotations

import contextlib
import gc
import inspect
import re
import sys
import types
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .._results import immutable

__all__ = ["Holder", "holders_of"]

_DEPTH = 6  # the largest number of nested containers between a name and an object
_OF_EACH = 64  # the largest number of paths that are followed on from one container

_Step = str | Callable[[str], str]  # a prefix of a path, or a function that changes the path


@immutable
@dataclass(frozen=True, order=True)
class Holder:
    """A name that leads to a tensor.

    Attributes:
        path: The path from the name to the tensor: ``"loss_sum"``, ``"trainer.history[3]"``.
        where: The scope of the name: ``"global of __main__"``, ``"local of train, train.py:12"``.
    """

    path: str
    where: str

    def __str__(self) -> str:
        return f"{self.path} ({self.where})"


def holders_of(objects: list[Any]) -> dict[int, list[Holder]]:
    """Return, by id, the names that lead to each of `objects`, the shortest paths first."""
    search = _Search()
    found: dict[int, list[Holder]] = defaultdict(list)
    level = [(thing, id(thing), "") for thing in objects]
    search.skip.update((id(objects), id(level)))
    while level and search.depth <= _DEPTH:
        level = search.outwards(level, found)
    return found


def _frames() -> Iterator[types.FrameType]:
    """Yield the running frames of all threads, except libgrad's."""
    for innermost in sys._current_frames().values():
        frame: types.FrameType | None = innermost
        while frame is not None:
            if not str(frame.f_globals.get("__name__")).startswith("libgrad."):
                yield frame
            frame = frame.f_back


def _locals(frame: types.FrameType) -> dict[str, Any]:
    """Return a copy of the frame's locals, leaving none of them in the frame's cache."""
    names = frame.f_locals
    copy = dict(names)
    cached = sys.version_info < (3, 13) and frame.f_code.co_flags & inspect.CO_OPTIMIZED
    if cached and sys.gettrace() is None and sys.getrefcount(names) <= 3:  # frame, here, argument
        names.clear()
    return copy


def _where(frame: types.FrameType, kind: str = "local") -> str:
    code = frame.f_code
    return f"{kind} of {code.co_qualname if sys.version_info >= (3, 11) else code.co_name}, " + (
        f"{code.co_filename}:{frame.f_lineno}"
    )


class _Search:
    """A search that steps from objects to the objects that refer to them."""

    def __init__(self) -> None:
        self.depth = 0
        self.modules: dict[int, str] = {}  # names by the ids of modules' dicts; the first name
        for name, module in list(sys.modules.items()):
            if issubclass(type(module), types.ModuleType):
                self.modules.setdefault(id(object.__getattribute__(module, "__dict__")), name)
        self.skip = {id(self.__dict__), id(self.modules)}
        self.seen: set[int] = set()
        self.names: dict[int, list[tuple[str, str]]] = defaultdict(list)  # locals by id of value
        for frame in _frames():
            self.modules.setdefault(id(frame.f_globals), frame.f_globals.get("__name__", "?"))
            if frame.f_code.co_flags & inspect.CO_OPTIMIZED:  # else the locals are a real dict
                for name, value in _locals(frame).items():
                    self.names[id(value)].append((name, _where(frame)))

    def outwards(
        self, level: list[tuple[Any, int, str]], found: dict[int, list[Holder]]
    ) -> list[tuple[Any, int, str]]:
        """Note the names of the objects in `level`; return the objects that refer to these.

        An entry is an object, the id of the object that is searched for, and the path to it.
        """
        self.depth += 1
        ways: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for thing, target, way in level:
            ways[id(thing)].append((target, way))
            for name, where in self.names.get(id(thing), ()):
                found[target].append(Holder(name + way, where))
        things = list({id(thing): thing for thing, _, _ in level}.values())
        self.skip.update((id(things), id(level), *map(id, level)))
        self.seen.update(ways)
        following = []
        for referrer in gc.get_referrers(*things):
            if id(referrer) in self.skip or id(referrer) in self.seen:
                continue
            for step, where, thing in self._uses(referrer, ways):
                for target, way in ways[id(thing)][:_OF_EACH]:
                    path = step(way) if callable(step) else step + way
                    if where:
                        found[target].append(Holder(path, where))
                    else:
                        following.append((referrer, target, path))
        return following

    def _uses(self, holder: Any, of: Iterable[int]) -> Iterator[tuple[_Step, str, Any]]:
        """Yield (step, where, object) for each reference of `holder` to one of the objects `of`.

        No method of the holder's own class is called: it could do or raise anything.
        """
        kind = type(holder)
        for sequence in (list, tuple, deque):
            if issubclass(kind, sequence):
                for i, value in enumerate(list(sequence.__iter__(holder))):
                    if id(value) in of:
                        yield f"[{i}]", "", value
                return
        if issubclass(kind, dict):
            yield from self._of_dict(holder, of)
        elif kind is types.CellType:
            for value in gc.get_referents(holder):
                if id(value) in of:
                    yield "", "", value
        elif kind is types.FunctionType:
            yield from _of_function(holder, of)
        elif kind in (types.FrameType, types.GeneratorType, types.CoroutineType):
            yield from _of_frame(holder, of)
        else:
            yield from _of_object(holder, of)

    def _of_dict(
        self, holder: dict[Any, Any], of: Iterable[int]
    ) -> Iterator[tuple[_Step, str, Any]]:
        module = self.modules.get(id(holder))
        for key, value in list(dict.items(holder)):
            if id(value) in of:
                if module is not None:
                    yield str(key), f"global of {module}", value
                else:
                    plain = type(key) in (str, int, float, bool, bytes, type(None))
                    yield f"[{key!r}]" if plain else f"[<{type(key).__name__}>]", "", value


def _of_frame(holder: Any, of: Iterable[int]) -> Iterator[tuple[_Step, str, Any]]:
    """Yield references of a frame that does not run: of a traceback or a suspended generator."""
    kept = type(holder) is types.FrameType
    frame = holder if kept else getattr(holder, "gi_frame", None) or holder.cr_frame
    what = "local, kept by a traceback," if kept else "local of a suspended generator:"
    for name, value in _locals(frame).items() if frame else ():
        if id(value) in of:
            yield name, _where(frame, what), value


def _attribute(way: str) -> str:
    """Return the path from an object, given the path from the dict of its attributes."""
    return re.sub(r"^\['(\w+)'\]", r".\1", way)


def _of_function(
    function: types.FunctionType, of: Iterable[int]
) -> Iterator[tuple[_Step, str, Any]]:
    closure = function.__closure__
    if id(closure) in of:  # a path from the closure is "[2]..."
        names = function.__code__.co_freevars
        yield (
            lambda way: re.sub(r"^\[(\d+)\]", lambda found: names[int(found[1])], way),
            f"closure of {function.__qualname__}",
            closure,
        )
    for value in (function.__defaults__, function.__kwdefaults__):
        if id(value) in of:
            yield f"{function.__qualname__}.__defaults__", "a default argument", value


def _of_object(holder: Any, of: Iterable[int]) -> Iterator[tuple[_Step, str, Any]]:
    """Yield references by attributes (the dict of an object may be implicit), else by contents."""
    try:
        attributes = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        attributes = {}
    told = id(attributes) in of
    if told:
        yield _attribute, "", attributes
    for name, value in [*dict(attributes).items(), *_slots(holder)]:
        if id(value) in of:
            told = True
            yield f".{name}", "", value
    for value in [] if told else gc.get_referents(holder):  # a container that is not known here
        if id(value) in of:
            yield "[...]", "", value


def _slots(holder: Any) -> Iterator[tuple[str, Any]]:
    for kind in type(holder).__mro__:
        for name, member in dict(vars(kind)).items():
            if isinstance(member, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # not set
                    yield name, member.__get__(holder, kind)

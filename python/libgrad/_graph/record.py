"""`record`: records the operator, source line and module of each new node."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from .. import _C

__all__ = ["record"]

LIBRARIES = (  # folders of code that is not the user's; a node's line is outside these
    *(f"{Path(file).parent}/" for file in (torch.__file__, _C.__file__) if file),
    f"{Path(__file__).parents[1]}/",  # an editable install has the extension in another folder
)


class _Names:
    """The numbers of the paths, such as "encoder.layers.0", of a module and its submodules."""

    def __init__(self, root: Module, prefix: str) -> None:
        self.prefix = prefix
        self.numbers = {
            id(module): (weakref.ref(module), _C.number_of_module(self.join(name)))
            for name, module in root.named_modules()
        }

    def join(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix and name else self.prefix or name


class _Thread(threading.local):
    """The records and the running modules of one thread."""

    def __init__(self) -> None:
        self.records = 0
        self.running: list[_Names] | None = None  # for each running module; None: no record
        self.known: dict[tuple[int, str], _Names] = {}  # of outermost modules, by id and prefix
        self.ran: deque[tuple[str, weakref.ref[Module]]] = deque(maxlen=64)  # outermost; kept

    def root(self, module: Module) -> _Names:
        """Return names for a called module that is no submodule of the module that calls it."""
        prefix = self.running[-1].join(f"({type(module).__name__})") if self.running else ""
        names = self.known.get((id(module), prefix))
        if names is None or names.numbers[id(module)][0]() is not module:
            names = self.known[id(module), prefix] = _Names(module, prefix)
            self.ran.append((prefix, weakref.ref(module)))
        return names


_thread = _Thread()


def named_parameters_of_modules_that_ran() -> list[tuple[str, Tensor]]:
    """Return parameters and buffers of the modules that this thread called under `record`."""
    named: list[tuple[str, Tensor]] = []
    for prefix, reference in _thread.ran:
        if (module := reference()) is not None:
            for tensors in (module.named_parameters(prefix), module.named_buffers(prefix)):
                named.extend(tensors)
    return named


def set_libraries() -> None:
    """Tell the extension which folders hold library code, so that it finds the user's line."""
    _C.set_libraries(LIBRARIES)


def _watched(call_of_torch: Callable[..., Any]) -> Callable[..., Any]:
    """Return a Module.__call__ that reports modules; torch.nn's global hooks cost twice as much."""

    def __call__(self: Module, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or (running := _thread.running) is None:
            return call_of_torch(self, *args, **kwargs)
        names = running[-1] if running else None
        entry = names.numbers.get(id(self)) if names else None
        if names is None or entry is None or entry[0]() is not self:
            names = _thread.root(self)
            entry = names.numbers[id(self)]
        running.append(names)
        before = _C.set_module(entry[1])
        try:
            return call_of_torch(self, *args, **kwargs)
        finally:
            _C.set_module(before)
            running.pop()

    return __call__


_lock = threading.Lock()
_records = 0  # the number of records in all threads
_calls: list[Callable[..., Any]] = []  # Module.__call__, and the one in its place while recording


def _watch_modules(by: int) -> None:
    """Change the number of records, and watch the calls of modules while there are any."""
    global _records
    with _lock:
        _records += by
        if _records and not _calls:
            _calls.extend((Module.__call__, _watched(Module.__call__)))
            Module.__call__ = _calls[1]  # type: ignore[method-assign]
        elif not _records:
            before, watched = _calls
            _calls.clear()
            if Module.__call__ is watched:  # else another wrapper calls it, which then does no harm
                Module.__call__ = before  # type: ignore[method-assign]


class record:
    """Inside ``with``, record where each node that this thread makes comes from.

    A `graph` taken inside, or afterwards until the next `record` begins, has for each node the
    operator (``"aten::addmm"``), the file and line of the innermost call outside torch, and the
    path of the module that was running, from the outermost module on. Nodes that backward makes
    (``create_graph``) are recorded, too; those of other threads are not. Nothing of the graph is
    kept alive.

    >>> layer = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh())
    >>> with libgrad.record():
    ...     loss = layer(torch.ones(1, 2)).sum()
    >>> node = libgrad.graph(loss).nodes[1]
    >>> node.name, node.op, node.module
    ('TanhBackward0', 'aten::tanh', '1')

    Raises:
        RuntimeError: Left without having been entered, or by another thread than entered it.

    Source: at::RecordFunction's callbacks, which torch.profiler uses, too.
    """

    def __init__(self) -> None:
        self._entered: list[tuple[int, Any]] = []

    def __enter__(self) -> record:
        set_libraries()
        guard = _C.Record()
        guard.__enter__()
        self._entered.append((threading.get_ident(), guard))
        if not _thread.records:
            _thread.running = []
        _thread.records += 1
        _watch_modules(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._entered or self._entered[-1][0] != threading.get_ident():
            by = "by another thread than entered it" if self._entered else "without being entered"
            raise RuntimeError(f"record: left {by}")
        _, guard = self._entered.pop()
        _watch_modules(-1)
        _thread.records -= 1
        if not _thread.records:
            _thread.running = None
            _thread.known.clear()
            _C.set_module(0)
        guard.__exit__(kind, error, traceback)

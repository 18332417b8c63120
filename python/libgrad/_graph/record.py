"""`record`: nodes that know their operator, source line and module."""

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

LIBRARIES = (  # folders of code that is not the user's; a node's line is outside of them
    *(f"{Path(file).parent}/" for file in (torch.__file__, _C.__file__) if file),
    f"{Path(__file__).parents[1]}/",  # in an editable install not the extension's folder
)


class _Names:
    """Numbers of the paths of a module and its submodules: "encoder.layers.0"."""

    def __init__(self, root: Module, prefix: str) -> None:
        self.prefix = prefix
        self.numbers = {
            id(module): (weakref.ref(module), _C.number_of_module(self.join(name)))
            for name, module in root.named_modules()
        }

    def join(self, name: str) -> str:
        return f"{self.prefix}.{name}" if self.prefix and name else self.prefix or name


class _Thread(threading.local):
    """What one thread has running."""

    def __init__(self) -> None:
        self.records = 0
        self.running: list[_Names] | None = None  # modules, by what names them; while recording
        self.known: dict[tuple[int, str], _Names] = {}  # of modules called from outside of theirs
        self.ran: deque[tuple[str, weakref.ref[Module]]] = deque(maxlen=64)  # these; kept on

    def root(self, module: Module) -> _Names:
        """Return names for a module that is called, but not as a submodule of the one around."""
        prefix = self.running[-1].join(f"({type(module).__name__})") if self.running else ""
        names = self.known.get((id(module), prefix))
        if names is None or names.numbers[id(module)][0]() is not module:
            names = self.known[id(module), prefix] = _Names(module, prefix)
            self.ran.append((prefix, weakref.ref(module)))
        return names


_thread = _Thread()


def named_parameters_of_modules_that_ran() -> list[tuple[str, Tensor]]:
    """Return parameters and buffers of those that this thread has called under `record`."""
    named: list[tuple[str, Tensor]] = []
    for prefix, reference in _thread.ran:
        if (module := reference()) is not None:
            for tensors in (module.named_parameters(prefix), module.named_buffers(prefix)):
                named.extend(tensors)
    return named


def set_libraries() -> None:
    """Tell the extension where the code is below which the user's line is."""
    _C.set_libraries(LIBRARIES)


def _watched(call_of_torch: Callable[..., Any]) -> Callable[..., Any]:
    """Return a Module.__call__ that tells of modules; global hooks of torch.nn cost twice that."""

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
_records = 0  # of all threads
_calls: list[Callable[..., Any]] = []  # of Module: before, and while somebody records


def _watch_modules(by: int) -> None:
    """Count those who record, and watch the calls of modules while there are some."""
    global _records
    with _lock:
        _records += by
        if _records and not _calls:
            _calls.extend((Module.__call__, _watched(Module.__call__)))
            Module.__call__ = _calls[1]  # type: ignore[method-assign]
        elif not _records:
            before, watched = _calls
            _calls.clear()
            if Module.__call__ is watched:  # else somebody's own calls it: it does no more then
                Module.__call__ = before  # type: ignore[method-assign]


class record:
    """Inside ``with``, nodes that this thread makes know where they come from.

    A `graph` taken inside, or afterwards until the next `record` begins, has at each node the
    operator (``"aten::addmm"``), the file and line of the innermost call outside of torch, and the
    path of the module that was running, from the outermost one on. Nodes that backward makes
    (``create_graph``) are seen, too; other threads are not. Nothing of the graph is kept alive.

    >>> layer = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh())
    >>> with libgrad.record():
    ...     loss = layer(torch.ones(1, 2)).sum()
    >>> node = libgrad.graph(loss).nodes[1]
    >>> node.name, node.op, node.module
    ('TanhBackward0', 'aten::tanh', '1')

    Raises:
        RuntimeError: Left without having been entered, or by another thread than entered it.

    Source: at::RecordFunction's callbacks, as torch.profiler has them.
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

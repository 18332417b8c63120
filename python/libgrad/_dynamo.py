"""Callbacks for the import of torch._dynamo, which takes a second and which few programs need."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["on_dynamo"]

_NAME = "torch._dynamo"
_waiting: list[Callable[[], object]] = []
_lock = threading.Lock()


def on_dynamo(callback: Callable[[], object]) -> None:
    """Call `callback` now if torch._dynamo is imported, otherwise right after its first import.

    >>> on_dynamo(lambda: print("ready to compile"))

    In the first case an exception of the callback is raised here; in the second it becomes a
    RuntimeWarning, so that torch.compile stays usable.
    """
    with _lock:
        if _NAME not in sys.modules:
            _waiting.append(callback)
            if _finder not in sys.meta_path:
                sys.meta_path.insert(0, _finder)
            return
    importlib.import_module(_NAME)  # waits for another thread that is importing it
    callback()


def _run_waiting() -> None:
    with _lock:
        callbacks = _waiting[:]
        _waiting.clear()
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
    for callback in callbacks:
        try:
            callback()
        except Exception as error:
            warnings.warn(
                f"libgrad could not prepare torch.compile: {callback!r} raised {error!r}",
                RuntimeWarning,
                stacklevel=2,
            )


class _Loader(Loader):
    """A loader that loads as `loader` does, and then runs the waiting callbacks."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _run_waiting()


class _Finder(MetaPathFinder):
    """A finder of torch._dynamo that asks the other finders and wraps the loader they return."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _NAME:
            return None
        for finder in [f for f in sys.meta_path if f is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


_finder = _Finder()

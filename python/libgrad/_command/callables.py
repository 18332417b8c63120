"""Finds a function that the command line names: ``MODULE:NAME`` or ``script.py:NAME``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["Unusable", "find_callable"]


class Unusable(Exception):
    """An argument that cannot be used; its text says why."""


def _script(path: str) -> ModuleType:
    """Run a script as Python would, with its folder in front of sys.path, but not as __main__."""
    file = Path(path).resolve()
    if not file.is_file():
        raise ImportError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    sys.path.insert(0, str(file.parent))
    spec.loader.exec_module(module)
    return module


def find_callable(path: str, what: str, form: str = "MODULE:FUNCTION") -> Callable[..., Any]:
    """Return the callable that `path` names; `what` and `form` are words for errors.

    Raises:
        Unusable: `path` is not of the form, cannot be imported, or is not callable.
    """
    module, colon, name = path.rpartition(":")
    if not (module and colon and name):
        raise Unusable(f"{what} must be {form}, but is {path!r}")
    try:
        is_file = module.endswith(".py")
        found = _script(module) if is_file else importlib.import_module(module)
        found = reduce(getattr, name.split("."), found)
    except (ImportError, AttributeError) as error:
        raise Unusable(f"{what} {path}: {error}") from None
    if not callable(found):
        raise Unusable(f"{what} {path} is no function, but {type(found).__name__}")
    return found

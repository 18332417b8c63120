"""The list of rows: each is a function of a `Case` that returns a detail, or raises `Wrong`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .case import Case

__all__ = ["GROUPS", "RowSpec", "backend_name", "row", "select", "specs"]

# In the order in which they run: quick groups before slow ones.
GROUPS = ("autograd", "dual", "func", "batch", "inputs", "around", "tracing", "compile")

Run = Callable[[Case], "str | None"]
BackendRun = Callable[[Case, Any], "str | None"]


@dataclass(frozen=True)
class RowSpec:
    """A row that can be run: its name, its group and its function."""

    name: str
    group: str
    run: Run


_plain: list[RowSpec] = []
_backend: list[tuple[str, BackendRun]] = []


def row(name: str, group: str) -> Callable[[Run], Run]:
    """Register a row; the rows of a group run in the order of registration."""

    def register(run: Run) -> Run:
        _plain.append(RowSpec(name, group, run))
        return run

    return register


def backend_row(name: str) -> Callable[[BackendRun], BackendRun]:
    """Register a row of the group ``"compile"`` that runs once for each backend."""

    def register(run: BackendRun) -> BackendRun:
        _backend.append((name, run))
        return run

    return register


def backend_name(backend: Any) -> str:
    """Return the name of a backend of torch.compile."""
    return backend if isinstance(backend, str) else getattr(backend, "__name__", repr(backend))


def _bind(run: BackendRun, backend: Any) -> Run:
    return lambda case: run(case, backend)


def specs(backends: Sequence[Any]) -> list[RowSpec]:
    """Return all rows in the order in which they run."""
    compiled = [
        RowSpec(name.format(backend_name(backend)), "compile", _bind(run, backend))
        for backend in backends
        for name, run in _backend
    ]
    return sorted([*_plain, *compiled], key=lambda spec: GROUPS.index(spec.group))


def _chosen(rows: Iterable[RowSpec], names: Sequence[str], argument: str) -> set[str]:
    rows = list(rows)
    groups = list(dict.fromkeys(r.group for r in rows))
    known = [*groups, *(r.name for r in rows)]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"check: {argument} names {name!r}, which is no row and no group{hint}\n"
                f"groups: {', '.join(groups)}\nrows: {', '.join(r.name for r in rows)}"
            )
    return {r.name for r in rows if r.name in names or r.group in names}


def select(
    rows: Sequence[RowSpec], only: Sequence[str] | None, skip: Sequence[str]
) -> list[RowSpec]:
    """Return the rows that `only` and `skip`, lists of names of rows and groups, leave.

    Raises:
        ValueError: One of the names is unknown; the text lists the known ones.
    """
    kept = {r.name for r in rows} if only is None else _chosen(rows, only, "only")
    kept -= _chosen(rows, skip, "skip")
    return [r for r in rows if r.name in kept]

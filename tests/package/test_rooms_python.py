"""The rooms of python/libgrad: who imports whom, and that nobody imports in a circle."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeGuard

import pytest
from support.paths import ROOT

PACKAGE = ROOT / "python" / "libgrad"

# What a room imports, besides itself and the extension. Modules that are in no room stand for
# themselves; "libgrad" is __init__.py, and what it imports is free.
ROOMS = {
    "_check": {"_results"},
    "_command": {
        *("libgrad", "_build_info", "_check", "_compat", "_doctor", "_function", "_graph"),
    },
    "_doctor": {"_graph", "_results"},
    "_function": {"_compat", "_dynamo", "_paths"},
    "_functional": {"_results"},
    "_grad": {"_dynamo"},
    "_graph": {"_results"},
    "_memory": {"_results"},
    "__main__": {"libgrad", "_command"},
    "_compat": {"_build_info"},
    "_dynamo": set(),
    "_gradcheck": set(),
    "_paths": set(),
    "_results": set(),
    "functional": {"_functional"},
    "types": {"_check", "_doctor", "_functional", "_gradcheck", "_graph"},
}

Arrows = dict[str, set[str]]


def names_of_modules() -> dict[str, Path]:
    """Return the modules by their dotted names: "_graph.graph"; "libgrad" is the package itself."""
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        *folders, name = path.relative_to(PACKAGE).with_suffix("").parts
        parts = folders if name == "__init__" else [*folders, name]
        modules[".".join(parts) or "libgrad"] = path
    return modules


MODULES = names_of_modules()
OUTSIDE = {"_C", "_build_info"}  # made by the build


def is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports in a module, those inside functions too.

    Those under TYPE_CHECKING are left out: nothing runs them, and an annotation may name a type of
    a module that imports this one.
    """
    if isinstance(tree, ast.Import | ast.ImportFrom):
        yield tree
    for node in tree.orelse if is_type_checking(tree) else ast.iter_child_nodes(tree):
        yield from imports(node)


def absolute(module: str, node: ast.ImportFrom) -> str | None:
    """Return the name of what `from ... import` names, in libgrad; None for other packages."""
    if not node.level:
        top, _, rest = (node.module or "").partition(".")
        return rest if top == "libgrad" else None
    parts = [] if module == "libgrad" else module.split(".")
    is_package = MODULES[module].name == "__init__.py"
    parts = parts[: len(parts) - node.level + is_package + (module == "libgrad")]
    return ".".join([*parts, *filter(None, [node.module])])


def imported(module: str, text: str) -> set[str]:
    """Return the modules of libgrad that one of them, whose source is `text`, imports."""
    found = set()
    for node in imports(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {".".join(n[1:]) or "libgrad" for n in names if n[0] == "libgrad"}
            continue
        base = absolute(module, node)
        if base is None:
            continue
        for alias in node.names:
            inner = f"{base}.{alias.name}" if base else alias.name
            found.add(inner if inner in MODULES or inner in OUTSIDE else base or "libgrad")
    return {name for name in found if name.split(".")[0] != "_C"}


def arrows() -> Arrows:
    found = {m: imported(m, path.read_text(encoding="utf-8")) for m, path in MODULES.items()}
    assert {name for names in found.values() for name in names} <= {*MODULES, *OUTSIDE}
    return found


def by_room(modules: Arrows) -> Arrows:
    rooms: Arrows = defaultdict(set)
    for module, others in modules.items():
        room = module.split(".")[0]
        rooms[room] |= {other.split(".")[0] for other in others} - {room}
    return rooms


def circle(graph: Arrows) -> list[str]:
    """Return a circle, or nothing when there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := walk(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in sorted(graph))), [])


def surplus(rooms: Arrows, allowed: Arrows) -> Iterable[str]:
    for room, others in rooms.items():
        yield from (f"{room} -> {other}" for other in sorted(others - allowed.get(room, set())))


def test_rooms_import_what_the_table_allows_and_no_more():
    rooms = by_room(arrows())
    del rooms["libgrad"]
    assert list(surplus(rooms, ROOMS)) == []
    assert list(surplus(ROOMS, rooms)) == []  # an arrow that is gone leaves the table
    assert set(rooms) == set(ROOMS)


def test_modules_import_each_other_in_no_circle():
    assert circle(arrows()) == []


def test_rooms_import_each_other_in_no_circle():
    assert circle(by_room(arrows())) == []


def test_modules_that_the_extension_imports_by_name_are_there():
    sources = [p for p in (PACKAGE.parents[1] / "csrc").rglob("*") if p.suffix in {".h", ".cpp"}]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    names = set(re.findall(r'import\(\s*"libgrad\.([\w.]+)"', text))
    assert "_function.bound" in names
    assert names - {"_C"} <= set(MODULES)


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("_graph.alive", "from .referrers import Holder", {"_graph.referrers"}),
        ("_graph.alive", "from . import referrers, graph", {"_graph.referrers", "_graph.graph"}),
        ("_graph.alive", "from .. import _C, grad", {"libgrad"}),
        ("_graph.alive", "from .._C import Graph", set()),
        ("_graph.alive", "from .._doctor.report import Findings", {"_doctor.report"}),
        ("_graph.alive", "from libgrad._doctor import report", {"_doctor.report"}),
        ("_graph.alive", "import libgrad.types, torch", {"types"}),
        ("_graph.alive", "def f():\n    from ..types import Row", {"types"}),
        ("_check.rows.vmap", "from ..case import Case", {"_check.case"}),
        ("_check", "from .run import run", {"_check.run"}),
        ("libgrad", "from . import functional, _C", {"functional"}),
        ("libgrad", "from ._check import check", {"_check"}),
        ("functional", "from . import _paths", {"_paths"}),
        ("functional", "if TYPE_CHECKING:\n    ...\nelse:\n    from . import types", {"types"}),
        ("functional", "if TYPE_CHECKING:\n    from .types import Row", set()),
    ],
)  # fmt: skip
def test_arrows_are_read_from_every_kind_of_import(module, text, found):
    assert imported(module, text) == found


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a"}}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert list(surplus({"a": {"b", "c"}}, {"a": {"b"}})) == ["a -> c"]

"""Who knows the name of a feature finds its files: they have that name in every folder.

Where a file has another name it is the feature's neighbour, which is said here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import BENCHMARKS, CPP, DOCS, ROOT, TESTS

LIBRARY, BINDINGS = ROOT / "csrc" / "libgrad", ROOT / "csrc" / "bindings"
DOORS = sorted(path.stem for path in LIBRARY.glob("*.h") if path.stem != "libgrad")

# The room behind a door, where it has not the door's name.
ROOM = {
    "diff": "questions",
    "gradient_hooks": "hooks",
    "linear": "functional",
    "name": "checkpoint",
    "node_hooks": "hooks",
    "plan": "questions",
    "split": "functional",
    "unused": "questions",
    "why": "questions",
}
# The folder of bindings, tests and C++ tests, where it has not the room's name.
FOLDER = {
    **dict.fromkeys(["chain", "checkpoint", "gradient_hooks", "hooks", "name"], "memory"),
    "node_hooks": "memory",
    **dict.fromkeys(["draw", "record", "diff", "plan", "unused", "why"], "graph"),
    "python": "function",
}
BINDING = {"gradient_hooks": None, "name": "hooks", "python": "function"}  # None: C++ only
TEST = {"gradient_hooks": None, "name": "names", "python": "python_h", "split": "functional_split"}
CPP_TEST = {
    **dict.fromkeys(["diff", "plan", "unused"], "why"),
    **dict.fromkeys(["function", "python"], None),  # needs Python: function/functions.cpp
    "name": "names",
}
PAGE = {
    **dict.fromkeys(["chain", "name"], "checkpoint"),
    **dict.fromkeys(["unused", "why"], "questions"),
    **dict.fromkeys(["linear", "split"], "functional"),
    "diff": "record",
    "grad": "autograd",
    "gradient_hooks": "hooks",
    "node_hooks": "hooks",
    "python": "function",
}
BENCHMARK = {
    **dict.fromkeys(["diff", "draw", "plan", "unused", "why"], "graph"),
    **dict.fromkeys(["linear", "split"], "functional"),
    "chain": "memory",
    "grad": "overhead",
    "gradient_hooks": "hooks",
    "name": "checkpoint",
    "node_hooks": "hooks",
    "python": "function",
}

each_door = pytest.mark.parametrize("door", DOORS)


def room(door: str) -> str:
    return ROOM.get(door, door)


def folder(door: str) -> str:
    return FOLDER.get(door, room(door))


@each_door
def test_door_leads_to_its_room(door: str) -> None:
    assert (LIBRARY / room(door)).is_dir()
    text = (LIBRARY / room(door) / "README.md").read_text("utf-8")
    assert f"<libgrad/{door}.h>" in text


@each_door
def test_door_has_its_files(door: str) -> None:
    expected = {
        "binding": (BINDING, BINDINGS / folder(door), "{}.cpp"),
        "test": (TEST, TESTS / folder(door), "test_{}.py"),
        "C++ test": (CPP_TEST, CPP / folder(door), "test_{}.cpp"),
        "page": (PAGE, DOCS, "{}.md"),
        "benchmark": (BENCHMARK, BENCHMARKS, "{}.py"),
    }
    for what, (others, path, form) in expected.items():
        name = others.get(door, door)
        if name is not None:
            assert (path / form.format(name)).is_file(), (what, form.format(name))


@pytest.mark.parametrize("others", [ROOM, FOLDER, BINDING, TEST, CPP_TEST, PAGE, BENCHMARK])
def test_other_names_are_those_of_doors(others: dict[str, str | None]) -> None:
    assert others.keys() <= {*DOORS}


@each_door
def test_page_speaks_of_the_door(door: str) -> None:
    text = (DOCS / f"{PAGE.get(door, door)}.md").read_text("utf-8")
    assert f"libgrad/{door}.h" in text or f"libgrad::{door}" in text


def test_every_folder_of_tests_is_a_room() -> None:
    rooms = {path.name for path in LIBRARY.iterdir() if path.is_dir()}
    others = {"check", "cpp", "function_class", "memory", "package", "support"}
    found = {path.parent.name for path in TESTS.glob("*/test_*.py")} | {"cpp", "support"}
    assert found <= rooms | others


def test_folders_of_bindings_are_rooms() -> None:
    rooms = {path.name for path in LIBRARY.iterdir() if path.is_dir()}
    found = {path.name for path in BINDINGS.iterdir() if path.is_dir()}
    assert found - rooms == {"function_class", "memory"}
    assert all(Path(BINDINGS / name / "README.md").is_file() for name in found)

"""The rooms of the C++ library: what each may use, read from its includes."""

from __future__ import annotations

import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from support.paths import ROOT

LIBRARY = ROOT / "csrc" / "libgrad"
MADE = {"draw/page/page_files.h"}  # by CMake
HEADERS = {p.relative_to(LIBRARY).as_posix(): p.read_text("utf-8") for p in LIBRARY.rglob("*.h")}
DOORS = {header for header in HEADERS if "/" not in header}

# Which rooms a room may use. Every arrow is one more thing to know before a room can be read: a
# new one needs a reason, and none may close a circle.
ARROWS = {
    "base": set(),
    "torch": {"base"},
    "grad": {"base", "torch"},
    "functional": {"grad", "torch"},
    "gradcheck": {"base", "functional", "grad", "torch"},
    "function": {"base", "grad", "torch"},
    "python": {"function", "torch"},
    "record": {"base", "torch"},
    "graph": {"base", "record", "torch"},
    "questions": {"base", "graph", "torch"},
    "draw": {"base", "graph"},
    "doctor": {"base", "graph", "record", "torch"},
    "hooks": {"base", "torch"},
    "checkpoint": {"base", "hooks", "torch"},
    "chain": {"checkpoint", "hooks", "torch"},
}

# A room that uses another one's door uses that room.
ROOM_OF_DOOR = {"hooks.h": "hooks", "grad.h": "grad"}

# LibTorch's headers that are not part of what its documentation tells C++ users to include.
INTERNAL = re.compile(
    r"c10/core/impl/.*"
    r"|c10/core/(TensorImpl|StorageImpl|AutogradState|SafePyObject)\.h"
    r"|ATen/core/(dispatch/.*|LegacyTypeDispatch\.h|PythonFallbackKernel\.h)"
    r"|ATen/functorch/.*"
    r"|ATen/(EmptyTensor|LegacyVmapMode|PythonTorchFunctionTLS|SavedTensorHooks|SequenceNumber"
    r"|ThreadLocalState|record_function)\.h"
    r"|torch/csrc/(?!api/|Exceptions\.h|utils/pybind\.h"
    r"|autograd/(autograd|custom_function|edge|variable)\.h).*"
)

# Those of them that headers outside torch/ include. The list may shrink.
OUTSIDE = {
    ("chain/measure.h", "c10/core/impl/VirtualGuardImpl.h"),
    ("checkpoint/call_id.h", "ATen/core/dispatch/Dispatcher.h"),
    ("checkpoint/kept_by_name.h", "torch/csrc/autograd/saved_variable.h"),
    ("checkpoint/name_replay.h", "ATen/core/LegacyTypeDispatch.h"),
    ("doctor/contents.h", "ATen/record_function.h"),
    ("doctor/contents.h", "c10/core/impl/LocalDispatchKeySet.h"),
    ("doctor/remedy.h", "ATen/core/dispatch/Dispatcher.h"),
    ("doctor/spy.h", "ATen/core/dispatch/Dispatcher.h"),
    ("doctor/spy.h", "c10/core/impl/LocalDispatchKeySet.h"),
    ("doctor/writes.h", "c10/core/TensorImpl.h"),
    ("functional/basis.h", "ATen/EmptyTensor.h"),
    ("grad/adjoint.h", "c10/core/impl/LocalDispatchKeySet.h"),
    ("grad/adjoint.h", "c10/core/impl/TorchDispatchModeTLS.h"),
    ("gradcheck/numbers.h", "ATen/EmptyTensor.h"),
    ("gradient_hooks.h", "torch/csrc/autograd/functions/accumulate_grad.h"),
    ("graph/node.h", "torch/csrc/autograd/functions/accumulate_grad.h"),
    ("hooks/hubs.h", "torch/csrc/autograd/function_hook.h"),
    ("hooks/multi.h", "torch/csrc/autograd/graph_task.h"),
    ("python/arguments.h", "ATen/PythonTorchFunctionTLS.h"),
    ("python/arguments.h", "torch/csrc/autograd/python_variable.h"),
    ("record/calls.h", "ATen/SequenceNumber.h"),
    ("record/calls.h", "ATen/record_function.h"),
}


def room_of(header: str) -> str:
    return header.partition("/")[0] if "/" in header else header


def includes(header: str) -> list[str]:
    return re.findall(r"^#include <(.*)>", HEADERS[header], re.MULTILINE)


def ours(header: str) -> set[str]:
    """The headers of the library that `header` includes."""
    found = {name.removeprefix("libgrad/") for name in includes(header) if name[:8] == "libgrad/"}
    return found - MADE


def arrows() -> dict[str, set[str]]:
    found = defaultdict(set)
    for header in HEADERS.keys() - DOORS:
        room = room_of(header)
        used = {ROOM_OF_DOOR.get(room_of(other), room_of(other)) for other in ours(header)}
        found[room] |= used - {room}
    return found


def test_every_include_is_a_header() -> None:
    assert {other for header in HEADERS for other in ours(header)} <= HEADERS.keys()


def test_rooms_use_the_rooms_that_they_may() -> None:
    assert dict(arrows()) == ARROWS


def test_no_room_leads_back_to_itself() -> None:
    assert len(list(TopologicalSorter(arrows()).static_order())) == len(ARROWS)


def test_no_header_leads_back_to_itself() -> None:
    order = TopologicalSorter({header: ours(header) for header in HEADERS}).static_order()
    assert set(order) == HEADERS.keys()


def test_internals_of_torch_are_in_one_room() -> None:
    found = {
        (header, name)
        for header in HEADERS
        if room_of(header) != "torch"
        for name in includes(header)
        if INTERNAL.fullmatch(name)
    }
    assert found == OUTSIDE
    free = re.compile(r"(base|draw|questions)/.*|chain/(costs|plan|table)\.h|checkpoint/revolve\.h")
    assert not [header for header, _ in found if free.fullmatch(header)]


@pytest.mark.parametrize("door", sorted(DOORS))
def test_door_shows_what_is_public_and_no_more(door: str) -> None:
    assert "namespace detail" not in HEADERS[door]
    assert HEADERS[door].count("\n") <= 300


@pytest.mark.parametrize("room", sorted({str(Path(header).parent) for header in HEADERS} - {"."}))
def test_room_is_small_enough_to_be_read(room: str) -> None:
    files = [header for header in HEADERS if str(Path(header).parent) == room]
    assert len(files) <= 20


def test_no_room_is_a_fifth_of_the_library() -> None:
    lines = {header: text.count("\n") for header, text in HEADERS.items()}
    for room in ARROWS:
        size = sum(count for header, count in lines.items() if room_of(header) == room)
        assert size < sum(lines.values()) / 5, room


@pytest.mark.parametrize("room", sorted(ARROWS))
def test_room_says_what_it_is_for(room: str) -> None:
    text = (LIBRARY / room / "README.md").read_text("utf-8")
    assert text.startswith(f"# {room}\n")
    uses = re.search(r"^Uses (.*)\.$", text, re.MULTILINE)
    named = set(re.findall(r"`(\w+)/`", uses[1])) if uses else set()
    assert named == ARROWS[room]


@pytest.mark.parametrize("header", sorted(HEADERS))
def test_header_says_where_it_is(header: str) -> None:
    assert HEADERS[header].startswith(f"/// libgrad/{header} -- ")
    assert HEADERS[header].count("\n") <= 500


# Names that two headers define, which mean one thing: overloads, or a member of a Function.
OVERLOADS = {
    "apply": "of a Function, with its type and without",
    "backward": "of a graph, and of a Function",
    "checkpoint_optimal": "for slots, and for bytes",
    "describe": "a tensor, and an edge",
    "jvp": "of a function, and of a Function",
    "name": "of a tensor, and of a GradcheckKind",
    "to_text": "of each thing that has a text",
}
DEFINITION = re.compile(
    r"^(?=\w)(?:(?:inline |constexpr |static )*(?:[\w:<>&*, ]+[ &*])(?P<function>\w+)\("
    r"|(?:struct|class|enum class|enum|using) (?P<type>\w+)(?!.*;$)"
    r"|inline (?:constexpr |const |thread_local )*[\w:<>* ]+ (?P<variable>\w+)(?:\[\])?\s*[={;])",
    re.MULTILINE,
)


def test_no_name_means_two_things() -> None:
    """All headers share one namespace: a second meaning would win somewhere, silently."""
    where = defaultdict(set)
    for header, text in HEADERS.items():
        for match in DEFINITION.finditer(text):
            where[match["function"] or match["type"] or match["variable"]].add(header)
    assert len(where) > 500
    assert {name for name, headers in where.items() if len(headers) > 1} == OVERLOADS.keys()


@pytest.mark.parametrize("header", sorted(h for h in HEADERS if "covered by" in HEADERS[h]))
def test_what_covers_a_header_is_there(header: str) -> None:
    flat = re.sub(r"\n/// *", " ", HEADERS[header])
    named = [text for text in re.findall(r"covered by ([^)]*)\)", flat) for text in text.split()]
    files = [name.rstrip(",;") for name in named if "/" in name]
    assert files
    for name in files:
        assert (ROOT / name).is_file(), name

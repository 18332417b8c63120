"""The doctor's gallery itself, in plain torch: it fails, is wrong or is right as it says."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

GALLERY = Path(__file__).with_name("doctor_gallery")
FAILING = sorted(
    p for folder in (GALLERY, GALLERY / "unseen") for p in folder.glob("[a-z]*.py")
)  # a leading underscore: a file that belongs to a script
FAILING.remove(GALLERY / "healthy.py")
SILENT = sorted((GALLERY / "silent").glob("*.py"))
MESSAGE = re.compile(
    r"modified by an inplace operation: \[(?:torch\.)?(?P<type>\w+) \[(?P<shape>[\d, ]*)\]"
    r".* is at version (?P<version>\d+); expected version (?P<saved>\d+) instead"
)
TYPES = {"FloatTensor": "float32", "ComplexFloatType": "complex64"}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"doctor_gallery_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def marks(path: Path, word: str) -> list[tuple[str, int]]:
    """File names and line numbers of the lines whose trailing comment has `word`."""
    lines = path.read_text().splitlines()
    return [
        (path.name, number)
        for number, line in enumerate(lines, 1)
        if word in re.split(r"[\s,]+", line.rpartition("  # ")[2] if "  # " in line else "")
    ]


def marked(path: Path, expect: dict, word: str) -> list[tuple[str, int]]:
    """The same of a script and of the file that it names in `also`."""
    files = [path, *([path.with_name(expect["also"])] if "also" in expect else [])]
    return [mark for file in files for mark in marks(file, word)]


@pytest.fixture(scope="module", autouse=True)
def _a_clean_compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def case(path: Path) -> str:
    return str(path.relative_to(GALLERY).with_suffix(""))


def test_there_are_scripts_of_every_kind():
    assert len([p for p in FAILING if p.parent == GALLERY]) >= 28
    assert len([p for p in FAILING if p.parent != GALLERY]) >= 12
    assert len(SILENT) >= 10
    assert len(load(GALLERY / "healthy.py").HEALTHY) >= 20


@pytest.mark.parametrize("path", [*FAILING, *SILENT], ids=case)
def test_a_script_says_what_is_to_be_found_and_marks_the_lines(path):
    expect = load(path).EXPECT
    keys = {"node", "field", "shape", "dtype", "writers", "saved_version", "version"}
    assert keys | {"made_by", "module"} <= expect.keys()
    assert len(marked(path, expect, "saves")) == 1
    assert marked(path, expect, "writes")
    if expect.get("silent"):
        assert expect["version"] == expect["saved_version"]
        assert (expect["writers"] == []) == expect["outside"]
    else:
        assert expect["version"] - expect["saved_version"] == len(expect["writers"]) > 0


@pytest.mark.parametrize("path", FAILING, ids=case)
def test_a_script_fails_in_backward_as_it_says(path):
    module = load(path)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as raised:
        module.run()
    said = MESSAGE.search(str(raised.value))
    expect = module.EXPECT
    assert [int(n) for n in said["shape"].split(",") if n.strip()] == expect["shape"]
    assert (int(said["saved"]), int(said["version"])) == (
        expect["saved_version"],
        expect["version"],
    )
    assert TYPES.get(said["type"], said["type"]) == expect["dtype"]


@pytest.mark.parametrize("path", SILENT, ids=case)
def test_a_silent_script_gets_a_wrong_gradient_and_no_error(path):
    got, right = load(path).run()
    assert got.shape == right.shape
    assert not torch.allclose(got, right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("loop", load(GALLERY / "healthy.py").HEALTHY, ids=lambda f: f.__name__)
def test_a_healthy_loop_runs(loop):
    loop(3)

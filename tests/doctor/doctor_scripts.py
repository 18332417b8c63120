"""The scripts of gallery/: what they hold, and which lines they mark."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import libgrad

GALLERY = Path(__file__).with_name("gallery")
FAILING = sorted(
    p for folder in (GALLERY, GALLERY / "unseen") for p in folder.glob("[a-z]*.py")
)  # a leading underscore: a file that belongs to a script
FAILING.remove(GALLERY / "healthy.py")
SILENT = sorted((GALLERY / "silent").glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"doctor_gallery_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_healthy(loop: Callable[[int], None], steps: int) -> None:
    """Run a loop; skip where it is not healthy: DDP's buffers move a version in an older torch."""
    try:
        loop(steps)
    except RuntimeError as error:
        older = not hasattr(libgrad._C, "_apply") and "is at version" in str(error)
        if not older or loop.__name__ != "data_parallel_batch_norm_twice":
            raise
        pytest.skip("DistributedDataParallel of this torch writes to buffers that backward needs")


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


def case(path: Path) -> str:
    return str(path.relative_to(GALLERY).with_suffix(""))

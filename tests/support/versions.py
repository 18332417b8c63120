"""Which torch the tests were run with: the record, and the README's table that is made of it.

Only of Python's own library: nox imports it where there is no torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from support.paths import ROOT

RECORD = ROOT / "tests" / "versions.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- versions: tests/versions.json -->\n", "<!-- /versions -->"
HEADER = ("torch", "tests", "passed", "skipped", "failed", "Python", "date")

# The rooms that hold on every version; of these what needs no compiler.
CORE = ("grad", "functional", "gradcheck", "graph", "doctor", "memory")
OF_CORE = ("-m", "not builds")
IN_FULL = 3  # of the newest minors; those before run the core


@dataclass(frozen=True)
class Run:
    """What pytest said of one minor of torch; `tests` is "all" or "core"."""

    torch: str
    tests: str
    passed: int
    skipped: int
    failed: int
    python: str
    date: str

    def row(self) -> str:
        """Return its line of the table."""
        return "| " + " | ".join(str(value) for value in asdict(self).values()) + " |"


def minor_of(version: str) -> str:
    """Return "2.13" of "2.13.0+cpu"."""
    return ".".join(version.split(".")[:2])


def minors() -> list[str]:
    """Return the minors of torch that libgrad supports, oldest first, as its CMake package says."""
    text = (ROOT / "cmake" / "libgradTorch.cmake").read_text(encoding="utf-8")
    line = r"set\(libgrad_{}_TORCH (\d+)\.(\d+)\)"
    oldest, newest = (re.search(line.format(word), text) for word in ("OLDEST", "NEWEST"))
    assert oldest[1] == newest[1], "a new major version of torch: say here which minors it follows"
    return [f"{newest[1]}.{minor}" for minor in range(int(oldest[2]), int(newest[2]) + 1)]


def tests_of(minor: str) -> str:
    """Return what is run on a minor: "all" or "core"."""
    return "all" if minor in minors()[-IN_FULL:] else "core"


def counted(report: Path) -> dict[str, int]:
    """Return how many tests passed, were skipped and failed, from pytest's JUnit file."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    names = "tests", "skipped", "failures", "errors"
    tests, skipped, failures, errors = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in names
    )
    failed = failures + errors
    return {"passed": tests - skipped - failed, "skipped": skipped, "failed": failed}


def read(record: Path = RECORD) -> dict[str, Run]:
    """Return the newest run of each minor."""
    runs = json.loads(record.read_text(encoding="utf-8"))
    return {minor: Run(**run) for minor, run in runs.items()}


def table(runs: dict[str, Run]) -> str:
    """Return the README's table, the newest torch first."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---|---:|---:|---:|---|---|"]
    order = sorted(runs, key=lambda minor: tuple(map(int, minor.split("."))), reverse=True)
    return "\n".join([*lines, *(runs[minor].row() for minor in order)]) + "\n"


def shown(readme: Path = README) -> str:
    """Return the table that stands in the README."""
    return readme.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]


def write(run: Run, record: Path = RECORD, readme: Path = README) -> None:
    """Put a run into the record, in place of the older one of its minor, and into the README."""
    runs = read(record) | {minor_of(run.torch): run}
    data = {minor: asdict(each) for minor, each in sorted(runs.items())}
    record.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    readme.write_text(f"{before}{BEGIN}{table(runs)}{END}{rest.split(END)[1]}", encoding="utf-8")

"""The tests on every torch: `nox -s torch-X.Y`, where X.Y is a minor version that `nox -l` lists.

Each session makes an environment, installs that torch and then libgrad, which builds for it, and
runs the tests: all, or the core on older versions. The outcome goes into tests/versions.json and
the README's table. `nox -R -s torch-X.Y -- -k batched` runs some of the tests in the environment
that is there, and records nothing.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "tests"))
from support import at_hand, versions
from support.paths import TESTS

TORCH = "import importlib.metadata as m; print(m.version('torch'))"


def has(session: nox.Session) -> str:
    """Return the version of torch in the session's environment."""
    return str(session.run("python", "-c", TORCH, silent=True)).split()[-1]


def prepare(session: nox.Session, torch: str) -> None:
    """Install a torch, then libgrad, which must leave it as it is."""
    session.install(torch)
    before = has(session)
    session.install(".[test]")
    if has(session) != before:
        session.error(f"installing libgrad replaced torch {before} by {has(session)}")


def run_tests(session: nox.Session, tests: str, arguments: Sequence[str] = ()) -> versions.Run:
    """Run "all" or the "core" of the tests; `arguments` are pytest's, and may name others."""
    selected = []
    if tests == "core" and not any(os.path.exists(each.split("::")[0]) for each in arguments):
        selected = [*versions.OF_CORE, *(str(TESTS / room) for room in versions.CORE)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        session.run(
            "pytest", *selected, *arguments, f"--junitxml={report}", success_codes=[*range(6)]
        )
        if not report.exists():
            session.error("pytest ended before it could say how many tests passed")
        counted = versions.counted(report)
    run = versions.Run(
        torch=has(session),
        tests=tests,
        **counted,
        python=platform.python_version(),
        date=str(date.today()),
    )
    session.log(run.row())
    return run


def define(minor: str) -> None:
    """Define the session of a minor version of torch."""
    tests = versions.tests_of(minor)

    @nox.session(name=f"torch-{minor}", default=False)
    def on_torch(session: nox.Session) -> None:
        prepare(session, f"torch=={minor}.*")
        run = run_tests(session, tests, session.posargs)
        if not session.posargs:
            versions.write(run)
        if run.failed or not run.passed:
            session.error(f"{run.failed} failed, {run.passed} passed")

    on_torch.__doc__ = f"Run {'all tests' if tests == 'all' else 'the core'} on torch {minor}."


for each in versions.minors():
    define(each)


@nox.session(name="at-hand", default=False)
def on_torch_at_hand(session: nox.Session) -> None:
    """Run the core on the newest torch whose file is on this machine's disk, if there is one.

    The one in the environment that nox runs in does not count: the tests have been run with it.
    """
    try:
        done = versions.minor_of(version("torch"))
    except PackageNotFoundError:
        done = None
    python = os.path.join(session.bin, "python")
    sources = at_hand.local_sources(python)
    for minor in reversed(versions.minors()):
        if minor != done and (url := at_hand.file_of_torch(python, minor, sources)):
            break
    else:
        session.skip("pip has no file of another torch on this machine's disk")
    prepare(session, url)
    run = run_tests(session, "core", session.posargs)
    if run.failed or not run.passed:
        session.error(f"{run.failed} failed, {run.passed} passed")

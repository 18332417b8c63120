"""The record of the tests on every torch, and the README's table that is made of it."""

from __future__ import annotations

import os
import re
import sys
import zipfile

import pytest
from support import at_hand, versions
from support.consumer import run
from support.paths import ROOT, TESTS
from support.versions import BEGIN, END, Run

RUN = Run(
    torch="9.31.0+cpu",
    tests="all",
    passed=5001,
    skipped=12,
    failed=0,
    python="3.11.7",
    date="2030-01-31",
)
REPORT = """\
<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">
<testsuite name="pytest" errors="1" failures="2" skipped="3" tests="20" time="0.1"></testsuite>
</testsuites>"""


def test_readme_shows_what_is_recorded():
    assert versions.shown() == versions.table(versions.read())


def test_record_is_of_supported_versions_and_of_what_is_run_there():
    for minor, one in versions.read().items():
        assert minor == versions.minor_of(one.torch)
        assert one.tests == versions.tests_of(minor)
        assert one.passed > 0


def test_minors_are_those_between_the_oldest_and_the_newest():
    minors = versions.minors()
    assert len(minors) >= 3
    assert all(re.fullmatch(r"\d+\.\d+", minor) for minor in minors)
    numbers = [int(minor.split(".")[1]) for minor in minors]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert [versions.tests_of(minor) for minor in minors[-3:]] == ["all"] * 3
    assert {versions.tests_of(minor) for minor in minors[:-3]} <= {"core"}


def test_three_files_know_versions_of_torch():
    """Everything else asks them, or a header, what torch has."""
    number = re.compile(r"\b2[._]1[1-9]\b|TORCH_VERSION_MINOR *[<>]")
    folders = (ROOT / name for name in ("build_support", "cmake", "csrc", "python"))
    files = [path for folder in folders for path in folder.rglob("*.*") if path.is_file()]
    files += [ROOT / "CMakeLists.txt", ROOT / "noxfile.py", ROOT / "pyproject.toml"]
    known = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix != ".pyc" and number.search(path.read_text(encoding="utf-8"))
    }
    assert known == {
        "cmake/libgradTorch.cmake",
        "csrc/libgrad/torch/features.h",
        "python/libgrad/_compat.py",
    }


def test_the_core_is_made_of_rooms():
    assert all((TESTS / room).is_dir() for room in versions.CORE)


def test_tests_are_counted_from_the_report_of_pytest(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT, encoding="utf-8")
    assert versions.counted(report) == {"passed": 14, "skipped": 3, "failed": 3}


def test_table_has_the_newest_torch_first():
    older = Run("9.5.1", "core", 2000, 0, 3, "3.10.1", "2030-01-01")
    assert versions.table({"9.5": older, "9.31": RUN}) == (
        "| torch | tests | passed | skipped | failed | Python | date |\n"
        "|---|---|---:|---:|---:|---|---|\n"
        "| 9.31.0+cpu | all | 5001 | 12 | 0 | 3.11.7 | 2030-01-31 |\n"
        "| 9.5.1 | core | 2000 | 0 | 3 | 3.10.1 | 2030-01-01 |\n"
    )


def test_a_run_replaces_that_of_its_minor_in_the_record_and_in_the_readme(tmp_path):
    record, readme = tmp_path / "versions.json", tmp_path / "README.md"
    record.write_text("{}", encoding="utf-8")
    readme.write_text(f"before\n{BEGIN}old\n{END}\nafter\n", encoding="utf-8")
    other = Run("9.30.2", "all", 5000, 13, 0, "3.11.7", "2030-01-30")
    newer = Run("9.31.1", "all", 5002, 12, 0, "3.11.7", "2030-02-01")
    for one in (RUN, other, newer):
        versions.write(one, record, readme)
    runs = {"9.30": other, "9.31": newer}
    assert versions.read(record) == runs
    assert versions.shown(readme) == versions.table(runs)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}| torch ")
    assert text.endswith(f"|\n{END}\nafter\n")


@pytest.fixture
def files(tmp_path):
    """A folder with two files of torch, as far as pip looks into them."""
    folder = tmp_path / "files"
    folder.mkdir()
    for version in ("9.31.0", "9.31.2"):
        with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
            info = f"torch-{version}.dist-info"
            text = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\nRequires-Dist: none\n"
            wheel.writestr(f"{info}/METADATA", text)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


def test_places_on_the_disk_are_those_that_pip_is_told_of(tmp_path, monkeypatch):
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://index.example/simple\n"
        "extra-index-url = file:///nowhere/simple https://more.example/simple\n"
        f"constraint = {tmp_path}/constraints.txt\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path} https://links.example/")
    assert set(at_hand.local_sources(sys.executable)) >= {
        "--extra-index-url=file:///nowhere/simple",
        f"--find-links={tmp_path}",
    }
    assert "example" not in "".join(at_hand.local_sources(sys.executable))


def test_newest_file_of_a_minor_is_found_on_the_disk_alone(files):
    sources = [f"--find-links={files}"]
    found = at_hand.file_of_torch(sys.executable, "9.31", sources)
    assert found == (files / "torch-9.31.2-py3-none-any.whl").as_uri()
    assert at_hand.file_of_torch(sys.executable, "9.30", sources) is None
    assert at_hand.file_of_torch(sys.executable, "9.31", []) is None


def test_noxfile_names_no_version():
    assert re.findall(r"\b\d+\.\d+\b", (ROOT / "noxfile.py").read_text(encoding="utf-8")) == []


def test_nox_has_a_session_for_each_minor_and_runs_none_unasked():
    pytest.importorskip("nox")
    listed = run(sys.executable, "-m", "nox", "-f", ROOT / "noxfile.py", "--list")
    assert set(re.findall(r"(?m)^([*-]) (\S+)", listed)) == {
        ("-", name) for name in ["at-hand", *(f"torch-{minor}" for minor in versions.minors())]
    }  # a "*" would mark those that run unasked

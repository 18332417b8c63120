"""``python -m libgrad doctor``."""

from __future__ import annotations

import subprocess
import sys

import pytest

SPOILED = """
import sys, torch
import neighbour

x = torch.ones(2, requires_grad=True)
y = x.exp()
neighbour.change(y)
print(__name__, sys.argv[1:])
y.sum().backward()
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "spoiled.py").write_text(SPOILED)
    (tmp_path / "neighbour.py").write_text("def change(y):\n    y += 1\n")
    (tmp_path / "silent.py").write_text(
        SPOILED.replace("neighbour.change(y)", "y.data.add_(1)").replace("import neighbour", "")
    )
    (tmp_path / "healthy.py").write_text("import sys\nsys.exit(int(sys.argv[1]))\n")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "always", "-m", "libgrad", "doctor", *arguments],
            check=False, capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("script", [["spoiled.py"], ["-m", "spoiled"]], ids=["file", "module"])
def test_a_program_fails_as_it_would_and_is_told_why(run, script):
    done = run(*script, "--lr", "1")
    assert done.returncode == 1
    assert done.stdout == "__main__ ['--lr', '1']\n"
    assert "libgrad/_command" not in done.stderr
    assert "runpy" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "spoiled.py" in lines[1]
    (written,) = [line for line in lines if line.startswith("  written by")]
    assert "aten::add_.Tensor" in written
    assert "neighbour.py:2" in written


def test_silent_writes_are_found_when_asked_for(run):
    done = run("silent.py")
    assert (done.returncode, "SilentWriteWarning" in done.stderr) == (0, False)
    assert done.stderr.endswith("libgrad doctor: nothing found\n")
    done = run("--silent", "silent.py")
    assert done.returncode == 0
    assert "SilentWriteWarning" in done.stderr
    assert done.stderr.endswith("libgrad doctor: 1 silent write, told above\n")


@pytest.mark.parametrize("status", [0, 3])
def test_exit_status_is_the_programs(run, status):
    assert run("healthy.py", str(status)).returncode == status


def test_no_such_file(run):
    done = run("missing.py")
    assert done.returncode == 2
    assert done.stderr == "libgrad doctor: there is no file 'missing.py'\n"

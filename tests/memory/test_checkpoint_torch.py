"""PyTorch's own tests of checkpoints, with libgrad's in the place of torch's.

They are no part of torch's wheel: LIBGRAD_TORCH_TESTS names the folder `test` of its sources, of
2.6 or later. What fails there with torch's own checkpoint, since the tests are of another version,
may fail with libgrad's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = os.environ.get("LIBGRAD_TORCH_TESTS", "")
PLUGIN = """
import os

import torch.autograd._functions.utils as utils
import torch.utils.checkpoint as theirs

import libgrad

if not hasattr(utils, "check_onnx_broadcast"):  # the tests of 2.6 import it
    utils.check_onnx_broadcast = None
if os.environ["IN_PLACE"] == "libgrad":
    theirs.checkpoint = libgrad.checkpoint
    theirs.checkpoint_sequential = libgrad.checkpoint_sequential
"""
WARNS = "warns_if_use_reentrant_not_passed_explcitly"  # ours is False where it is not given


def run(in_place: str, plugin: Path) -> tuple[set[str], int]:
    """Return which tests fail, and how many pass."""
    environment = os.environ | {"IN_PLACE": in_place, "PYTHONPATH": str(plugin.parent)}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", plugin.stem]
    command += ["-p", "no:cacheprovider", "-k", "heckpoint", "test_utils.py", "test_autograd.py"]
    done = subprocess.run(
        command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout + done.stderr
    return set(re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)), int(passed[1])


@pytest.mark.skipif(not FOLDER, reason="LIBGRAD_TORCH_TESTS names no folder")
def test_they_pass(tmp_path):
    plugin = tmp_path / "in_place.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    expected, _ = run("torch", plugin)
    failed, passed = run("libgrad", plugin)
    assert passed > 30
    assert {test for test in failed - expected if WARNS not in test} == set()

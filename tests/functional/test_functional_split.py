"""Rows of jacobian and hessian over processes, by torchrun; see split_program.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.paths import TESTS

from libgrad import functional as ours

PROGRAM = Path(__file__).parent / "split_program.py"


@pytest.fixture(scope="module")
def done() -> dict[str, str]:
    """What the two processes said, of each device that has been asked for."""
    return {}


def said(device: str, done: dict[str, str]) -> str:
    if device not in done:
        torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        run = subprocess.run(
            [sys.executable, *torchrun, PROGRAM, device],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "OMP_NUM_THREADS": "1"},
        )
        done[device] = run.stdout + f"\nexit code {run.returncode}"
    return done[device]


@pytest.mark.parametrize("name", re.findall(r"(?m)^@case\ndef (\w+)", PROGRAM.read_text()))
def test_two_processes(name, device, done):
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("nccl wants a device for each of two processes")
    output = said(device, done)
    for rank in range(2):
        assert f"rank {rank}: {name}\n" in output, output


def test_both_processes_end_well(device, done):
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("nccl wants a device for each of two processes")
    output = said(device, done)
    assert output.endswith("\nexit code 0"), output


@pytest.mark.parametrize("name", ["jacobian", "hessian"])
def test_a_group_without_torch_distributed_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name}: .* torch.distributed is not initialized"):
        getattr(ours, name)(lambda t: t.sum(), torch.ones(2), group="world")

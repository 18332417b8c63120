"""What the tests share: comparison with torch, and programs of their own."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

# In a newer torch its grad and backward take dicts and look at other mappings; libgrad always does.
TORCH_TAKES_DICTS = "dict" in str(inspect.signature(torch.autograd.grad))


def assert_same(ours: Any, theirs: Any) -> None:
    """Assert that two results are of one structure and equal bit for bit."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, torch.Tensor):
        assert ours.dtype == theirs.dtype
        assert ours.device == theirs.device
        assert ours.layout == theirs.layout
        assert ours.requires_grad == theirs.requires_grad
        assert ours.shape == theirs.shape
        if theirs.layout == torch.strided:
            assert ours.stride() == theirs.stride()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    else:
        assert ours == theirs


def outcome(function: Callable[[], Any]) -> tuple[Any, type[BaseException] | None, str]:
    """Call; return the result, or None with the type and the text of what was raised."""
    try:
        return function(), None, ""
    except Exception as error:
        return None, type(error), str(error)


def python(code: str, *options: str) -> str:
    """Run a program of its own; return what it printed, fail when it crashed."""
    prelude = "import libgrad, torch\n"
    done = subprocess.run(
        [sys.executable, *options, "-c", prelude + code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout

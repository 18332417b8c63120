"""Modes of libgrad beside torch's, and what a thread is in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import libgrad

# name: (a new mode of libgrad's, the same of torch's)
MODES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "no_grad": (libgrad.no_grad, torch.no_grad),
    "enable_grad": (libgrad.enable_grad, torch.enable_grad),
    "set_grad_enabled(False)": (
        lambda: libgrad.set_grad_enabled(False),
        lambda: torch.set_grad_enabled(False),
    ),
    "set_grad_enabled(True)": (
        lambda: libgrad.set_grad_enabled(True),
        lambda: torch.set_grad_enabled(True),
    ),
    "inference_mode": (libgrad.inference_mode, torch.inference_mode),
    "inference_mode(False)": (
        lambda: libgrad.inference_mode(False),
        lambda: torch.inference_mode(False),
    ),
}

# What a mode may be entered in.
OUTSIDES: dict[str, Callable[[], Any]] = {
    "plain": contextlib.nullcontext,
    "in no_grad": torch.no_grad,
    "in inference_mode": torch.inference_mode,
}

each_mode = pytest.mark.parametrize(("ours", "theirs"), MODES.values(), ids=MODES)
each_outside = pytest.mark.parametrize("outside", OUTSIDES.values(), ids=OUTSIDES)


def state() -> tuple[bool, bool]:
    """Return whether this thread records, and whether it is in inference mode."""
    found = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    assert found == (libgrad.is_grad_enabled(), libgrad.is_inference_mode_enabled())
    return found


def made() -> tuple[bool, bool, tuple[bool, bool]]:
    """Compute something; return what its result is like and the state."""
    y = torch.ones(2, requires_grad=True) * 2
    return y.requires_grad, y.is_inference(), state()


PLAIN = (True, False)
NO_GRAD = (False, False)
INFERENCE = (False, True)


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """Assert that the modes afterwards are those of before."""
    before = state()
    try:
        yield
    finally:
        assert state() == before

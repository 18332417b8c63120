"""Modes entered and left by hand, without ``with``."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

import libgrad


def test_a_mode_that_is_entered_and_dropped_stays_on_as_torchs_does() -> None:
    def inside(mode: type) -> bool:
        mode().__enter__()
        gc.collect()
        return torch.is_grad_enabled()

    for mode in (torch.no_grad, libgrad.no_grad):
        result: list[bool] = []
        thread = threading.Thread(target=lambda: result.append(inside(mode)))
        thread.start()
        thread.join()
        assert result == [False]


def test_leaving_a_mode_on_a_thread_that_is_not_inside_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no_grad: this thread is not inside"):
        libgrad.no_grad().__exit__(None, None, None)

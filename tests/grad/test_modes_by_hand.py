"""Modes entered and left by hand, without ``with``."""

from __future__ import annotations

import gc
import threading
from types import ModuleType

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


def test_leaving_a_mode_that_was_not_entered_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no_grad: left without being entered"):
        libgrad.no_grad().__exit__(None, None, None)


@pytest.mark.parametrize("module", [libgrad, torch], ids=["libgrad", "torch"])
def test_a_mode_may_be_left_on_another_thread(module: ModuleType) -> None:
    mode = module.no_grad()
    seen: list[bool] = []

    def enter() -> None:
        mode.__enter__()
        seen.append(torch.is_grad_enabled())

    def leave() -> None:
        mode.__exit__(None, None, None)
        seen.append(torch.is_grad_enabled())

    for step in (enter, leave):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert seen == [False, True]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_mode_outlives_the_thread_that_entered_it() -> None:
    mode = libgrad.detect_anomaly()
    thread = threading.Thread(target=mode.__enter__)
    thread.start()
    thread.join()
    assert torch.is_anomaly_enabled()
    mode.__exit__(None, None, None)
    assert not torch.is_anomaly_enabled()


def test_function_modes_and_export_see_grad_mode_being_switched() -> None:
    class Module(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with libgrad.no_grad():
                y = x * 2
            with libgrad.set_grad_enabled(False):
                z = x * 4
            return y + z + x

    x = torch.ones(2, requires_grad=True)
    exported = torch.export.export(Module(), (x,), strict=False).module()
    assert torch.autograd.grad(exported(x).sum(), x)[0].tolist() == [1.0, 1.0]

"""`checkpoint_sequential` and `checkpoint_optimal`: which functions run again."""

from __future__ import annotations

import pytest
import torch
from memory.test_checkpoint import Counted, grad
from torch import nn

import libgrad


def test_sequences_keep_the_last_segment():
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)])
    x = torch.randn(2, 4, requires_grad=True)
    runs = []
    for i, part in enumerate(model):
        part.register_forward_hook(lambda *_, i=i: runs.append(i))
    expected = grad(model(x), x)
    runs.clear()
    assert torch.equal(grad(libgrad.checkpoint_sequential(model, 2, x), x), expected)
    assert sorted(runs) == [0, 0, 1, 2, 3, 4]  # 1 stopped once its tanh had saved


@pytest.mark.parametrize(("slots", "runs"), [(3, 264), (5, 220), (10, 179), (63, 127)])
def test_the_best_schedule_runs_as_often_as_the_theory_says(slots, runs):
    torch.manual_seed(0)
    function = Counted()
    dropout = nn.Dropout(0.1)
    x = torch.linspace(0.1, 0.2, 4, requires_grad=True)
    steps = [lambda t: dropout(function(t))] * 64
    torch.manual_seed(1)
    expected = grad(libgrad.checkpoint_sequential(steps, 1, x), x)
    function.runs = 0
    torch.manual_seed(1)
    y = libgrad.checkpoint_optimal(steps, x, slots=slots)
    assert function.runs == 64
    assert torch.equal(grad(y, x), expected)
    assert function.runs == runs


def test_chains_may_be_long():
    x = torch.ones(2, requires_grad=True)
    for length, slots in ((1000, 0), (20_000, 1), (2000, 3), (2, 2**62)):
        y = libgrad.checkpoint_optimal([torch.sin] * length, x, slots=slots)
        if slots > 1:
            assert grad(y, x).isfinite().all()

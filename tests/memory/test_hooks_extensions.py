"""Hooks of C++ that two extensions have, beside those of Python."""

from __future__ import annotations

import pytest
import torch
from memory.counted_operators import runs
from support import consumer

import libgrad


@pytest.fixture(scope="module")
def functions(cpp_build):
    return consumer.load("functions", cpp_build)


def run() -> torch.Tensor:
    x = torch.linspace(1, 2, 4, requires_grad=True)
    (x.exp() * x).tanh().sum().backward()
    return x.grad


HOOKS = [
    lambda: libgrad.save_on_disk("/tmp"),
    lambda: torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda t: t),
]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("hooks", HOOKS, ids=["libgrad", "torch"])
def test_the_innermost_are_used(functions, hooks, first):
    def inside():
        with hooks():
            assert torch.equal(run(), expected)

    expected = run()
    if first:
        inside()
    assert functions.count_packed(run) == 4
    with hooks():
        assert functions.count_packed(run) == 4
    assert functions.count_packed(inside) == 0
    assert functions.count_packed(lambda: functions.count_packed(run)) == 0


def test_names_reach_the_checkpoints_of_both(functions):
    def both(x):
        return functions.sine_of_named(x).exp()

    x = torch.rand(4, requires_grad=True)
    for save, expected in [((), 2), (("square",), 1)]:
        runs.clear()
        y = libgrad.checkpoint(both, x, save=save)
        (got,) = torch.autograd.grad(y.sum(), x)
        assert runs["square"] == expected
        (plain,) = torch.autograd.grad((x * x).sin().exp().sum(), x)
        assert torch.equal(got, plain)


def test_a_checkpoint_is_inside(functions):
    def checkpointed():
        x = torch.linspace(1, 2, 4, requires_grad=True)
        libgrad.checkpoint(lambda t: t.exp().sin(), x.neg()).sum().backward()
        plain = torch.linspace(1, 2, 4, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda t: t):
            plain.neg().exp().sin().sum().backward()
        assert torch.equal(x.grad, plain.grad)

    assert functions.count_packed(checkpointed) == 1  # its input

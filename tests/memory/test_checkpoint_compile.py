"""`checkpoint` and hooks of C++ together with torch.compile."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import libgrad


def function(x):
    return libgrad.name(x @ x, "product").sin().exp()


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    torch.manual_seed(0)


def grad(y, x):
    return torch.autograd.grad(y.sum(), x)[0]


RUNS = {
    "checkpoint": libgrad.checkpoint,
    "names": lambda f, x: libgrad.checkpoint(f, x, save=("product",)),
    "sequential": lambda f, x: libgrad.checkpoint_sequential([f, f], 2, x),
    "optimal": lambda f, x: libgrad.checkpoint_optimal([f, f, f], x, slots=1),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_compiled_function_inside(run):
    x = torch.rand(4, 4, requires_grad=True)
    expected = grad(RUNS[run](function, x), x)
    compiled = torch.compile(function, backend="aot_eager")
    for _ in range(2):  # compiled, and found
        assert torch.equal(grad(RUNS[run](compiled, x), x), expected)


@pytest.mark.parametrize("hooks", [libgrad.compress, lambda: libgrad.save_on_cpu()])
def test_a_compiled_function_under_hooks(hooks):
    x = torch.rand(4, 4, dtype=torch.bfloat16, requires_grad=True)
    compiled = torch.compile(function, backend="aot_eager")
    with hooks():
        y = libgrad.checkpoint(compiled, x)
        z = compiled(x)
    assert torch.equal(grad(y, x), grad(z, x))


@pytest.mark.filterwarnings("ignore:Dynamo does not know how to trace the builtin")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("run", RUNS)
def test_a_compiled_function_around(run):
    """Where it cannot be compiled through, forward and what runs again do the same."""
    x = torch.rand(4, 4, requires_grad=True)
    expected = grad(RUNS[run](function, x), x)

    def around(x):
        torch._dynamo.graph_break()
        return RUNS[run](function, x * 1)

    compiled = torch.compile(around, backend="aot_eager")
    for _ in range(2):
        assert torch.equal(grad(compiled(x), x), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, of the second
def test_compiled_layers_of_a_model():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.5)) for _ in range(3)]
    params = [p for layer in layers for p in layer.parameters()]
    x = torch.rand(4, 8)

    def loss(run):
        torch.manual_seed(1)
        y = x
        for layer in layers:
            y = run(layer, y)
        return y.square().sum()

    expected = torch.autograd.grad(loss(lambda layer, y: layer(y)), params)
    for layer in layers:
        layer.compile(backend="aot_eager")
    got = torch.autograd.grad(loss(libgrad.checkpoint), params)
    assert all(map(torch.equal, got, expected))

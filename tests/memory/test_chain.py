"""`checkpoint_optimal` for a budget, `measure_chain` and `ChainCosts`."""

from __future__ import annotations

import functools
import itertools
import pickle

import pytest
import torch
from torch import nn

import libgrad

demo = libgrad._C._demo


def grad(y, x, **options):
    return torch.autograd.grad(y.sum(), x, **options)[0]


def counted(functions):
    """Return the functions, and a list with how often each has run."""
    runs = [0] * len(functions)

    def run(i, x):
        runs[i] += 1
        return functions[i](x)

    return [functools.partial(run, i) for i in range(len(functions))], runs


def layers():
    """Return functions of all kinds and sizes, which take 24 columns."""
    torch.manual_seed(0)
    columns = (24, 64, 16, 48, 48, 80, 8)
    parts = []
    for a, b in itertools.pairwise(columns):
        parts += [nn.Linear(a, b), nn.Sequential(nn.GELU(), nn.Dropout(0.2))]
    parts += [nn.LayerNorm(8), nn.Tanh()]
    for part in parts:
        for weight in part.parameters():
            weight.grad = torch.zeros_like(weight)
    return parts


def budgets(costs, count):
    small, large = costs.smallest_budget, costs.largest_budget
    return [small + (large - small) * i // (count - 1) for i in range(count)]


def test_runs_gradients_and_memory_are_as_planned():
    parts = layers()
    functions, runs = counted(parts)
    x = torch.randn(128, 24, requires_grad=True)
    x.grad = torch.zeros_like(x)
    costs = libgrad.measure_chain(parts, x)
    torch.manual_seed(1)
    expected = grad(nn.Sequential(*parts)(x), x)

    def step(budget):
        y = libgrad.checkpoint_optimal(functions, x, budget_bytes=budget, costs=costs)
        y.sum().backward()

    for budget in budgets(costs, 8):
        torch.manual_seed(1)
        x.grad.zero_()
        runs[:] = [0] * len(runs)
        loss = 8  # bytes, with its gradient
        assert demo.peak_bytes(lambda budget=budget: step(budget)) <= budget + loss
        assert torch.equal(x.grad, expected)
        assert tuple(runs) == costs.runs(budget)
    assert set(runs) == {1}


def test_without_costs_they_are_measured(device):
    torch.manual_seed(0)
    part = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Dropout(0.5)).to(device)
    functions, runs = counted([part] * 6)
    x = torch.randn(32, 16, device=device, requires_grad=True)
    for autocast in (False, True):
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=autocast):
            torch.manual_seed(1)
            expected = grad(nn.Sequential(*[part] * 6)(x), x)
            budget = libgrad.measure_chain(functions, x).smallest_budget
            torch.manual_seed(1)
            runs[:] = [0] * 6
            y = libgrad.checkpoint_optimal(functions, x, budget_bytes=budget)
            assert runs == [3] * 6
        assert torch.equal(grad(y, x), expected)
        assert sum(runs) > 18 + 4


@pytest.mark.parametrize("kind", ["shared", "channels last", "attention"])
def test_memory_of_models(kind):
    torch.manual_seed(0)
    if kind == "shared":
        parts = [nn.Linear(256, 256), nn.Tanh()] * 5
        x = torch.randn(16, 256)
    elif kind == "attention":
        parts = [nn.TransformerEncoderLayer(32, 4, 64, batch_first=True) for _ in range(4)]
        x = torch.randn(4, 32, 32)
    else:
        parts = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.GELU(), nn.Conv2d(16, 16, 3, stride=2)]
        parts += [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
        parts = [part.to(memory_format=torch.channels_last) for part in parts]
        x = torch.randn(8, 3, 32, 32).to(memory_format=torch.channels_last)
    for weight in nn.Sequential(*parts).parameters():
        weight.grad = torch.zeros_like(weight)
    costs = libgrad.measure_chain(parts, x)

    def step(budget):
        libgrad.checkpoint_optimal(parts, x, budget_bytes=budget, costs=costs).sum().backward()

    for budget in budgets(costs, 5):
        assert demo.peak_bytes(lambda budget=budget: step(budget)) <= budget + 8


def test_it_is_a_graph_as_any_other():
    x = torch.linspace(0.1, 0.5, 4, requires_grad=True)
    functions = [lambda t: (t.exp() * t).tanh()] * 6
    plain = x
    for function in functions:
        plain = function(plain)
    costs = libgrad.measure_chain(functions, x)
    y = libgrad.checkpoint_optimal(functions, x, budget_bytes=costs.smallest_budget, costs=costs)
    for _ in range(2):
        assert torch.equal(grad(y, x, retain_graph=True), grad(plain, x, retain_graph=True))
    first = grad(y, x, create_graph=True)
    assert torch.equal(grad(first, x), grad(grad(plain, x, create_graph=True), x))
    inside = libgrad.checkpoint(
        lambda t: libgrad.checkpoint_optimal(
            functions, t, budget_bytes=costs.smallest_budget, costs=costs
        ),
        x,
    )
    assert torch.equal(grad(inside, x), grad(libgrad.checkpoint_sequential(functions, 1, x), x))
    with torch.no_grad():
        assert torch.equal(libgrad.checkpoint_optimal(functions, x, budget_bytes=1), plain)


def test_functions_may_be_checkpoints_and_functions_of_python():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] ** 2 * g

    functions = [Cube.apply, lambda t: libgrad.checkpoint(torch.sin, t), Cube.apply, torch.exp]
    x = torch.linspace(0.1, 0.5, 4, requires_grad=True)
    costs = libgrad.measure_chain(functions, x)
    assert costs.saves_input[:3] == (True, True, True)
    expected = grad(libgrad.checkpoint_sequential(functions, 1, x), x)
    for budget in budgets(costs, 3):
        y = libgrad.checkpoint_optimal(functions, x, budget_bytes=budget, costs=costs)
        assert torch.equal(grad(y, x), expected)


def test_equal_costs_give_the_counts_of_revolve():
    for slots, runs in ((3, 264), (5, 220), (10, 179)):
        # Slots, one more input, and for one function what it saved and two gradients; the output.
        budget = slots + 1 + (100 + 2) + 1
        costs = libgrad.ChainCosts([1] * 64, [1] * 64, [100] * 64, 1)
        assert sum(costs.runs(budget)) == runs


@pytest.mark.parametrize("fails", [False, True])
def test_measuring_changes_nothing(fails):
    torch.manual_seed(0)
    layer = nn.Linear(4, 4)
    called = []
    layer.weight.register_hook(called.append)
    layer.weight.register_post_accumulate_grad_hook(called.append)

    def last(t):
        assert torch.is_grad_enabled()
        if fails:
            raise KeyError("mine")
        return layer(t) + torch.randn(4)

    x = torch.ones(2, 4, requires_grad=True)
    tensors = [x, *layer.parameters()]
    versions = [tensor._version for tensor in tensors]
    state = torch.get_rng_state()
    functions = [layer, nn.Dropout(0.5), last]
    with torch.no_grad():
        if fails:
            with pytest.raises(KeyError, match="mine"):
                libgrad.measure_chain(functions, x)
        else:
            libgrad.measure_chain(functions, x)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert called == []
    assert all(tensor.grad is None for tensor in tensors)
    assert [tensor._version for tensor in tensors] == versions
    layer(x).sum().backward()
    assert len(called) == 2
    libgrad.measure_chain([nn.Dropout(0.5)], x, preserve_rng_state=False)
    assert not torch.equal(torch.get_rng_state(), state)


def test_the_copies_of_weights_that_autocast_makes_count():
    torch.manual_seed(0)
    parts = [part for _ in range(6) for part in (nn.Linear(64, 64), nn.ReLU())]
    for weight in nn.Sequential(*parts).parameters():
        weight.grad = torch.zeros_like(weight)
    x = torch.randn(96, 64)
    with torch.autocast("cpu", torch.bfloat16):
        costs = libgrad.measure_chain(parts, x)
        nn.Sequential(*parts)(x).sum().backward()
    assert costs.constant_bytes == 6 * (64 * 64 + 64) * 2
    assert all(part.weight.grad.any() for part in parts[::2])

    def step(budget):
        with torch.autocast("cpu", torch.bfloat16):
            y = libgrad.checkpoint_optimal(parts, x, budget_bytes=budget, costs=costs)
            loss = y.sum()
        loss.backward()

    for budget in budgets(costs, 5):
        assert demo.peak_bytes(lambda budget=budget: step(budget)) <= budget + 8


def test_costs_are_values():
    costs = libgrad.ChainCosts(
        seconds=[1, 2.5],
        input_bytes=[10, 20],
        saved_bytes=[3, 4],
        output_bytes=30,
        forward_bytes=[1, 2],
        backward_bytes=[5, 6],
        pending_bytes=[7, 8],
        saves_input=[True, False],
        saves_output=[False, True],
        constant_bytes=9,
    )
    assert (costs.seconds, costs.input_bytes, costs.saved_bytes) == ((1, 2.5), (10, 20), (3, 4))
    assert (costs.output_bytes, costs.constant_bytes, costs.forward_bytes) == (30, 9, (1, 2))
    assert (costs.backward_bytes, costs.pending_bytes) == ((5, 6), (7, 8))
    assert (costs.saves_input, costs.saves_output) == ((True, False), (False, True))
    assert len(costs) == 2
    assert pickle.loads(pickle.dumps(costs)) == costs
    assert costs != libgrad.ChainCosts([1], [1], [1], 1)
    assert costs != 3
    least, most = costs.smallest_budget, costs.largest_budget
    assert repr(costs) == f"ChainCosts(2 functions, 3.5 s, from {least} to {most} bytes)"
    with pytest.raises(AttributeError):
        costs.seconds = (1, 1)
    assert repr(libgrad.ChainCosts([], [], [], 0)) == "ChainCosts(0 functions, 0 s)"


def costs_of(count):
    return libgrad.ChainCosts([1] * count, [8] * count, [8] * count, 8)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, ValueError, "either slots or budget_bytes, but got neither"),
        ({"slots": 1, "budget_bytes": 1}, ValueError, "but got both"),
        ({"slots": 1, "costs": costs_of(1)}, ValueError, "costs are for budget_bytes"),
        ({"budget_bytes": 0}, ValueError, "budget_bytes must be positive, but is 0"),
        ({"budget_bytes": -5}, ValueError, "budget_bytes must be positive, but is -5"),
        ({"budget_bytes": 1e6}, TypeError, "budget_bytes must be int, but is float"),
        ({"budget_bytes": True}, TypeError, "budget_bytes must be int, but is bool"),
        ({"slots": False}, TypeError, "slots must be int, but is bool"),
        ({"budget_bytes": 99, "costs": [1]}, TypeError, "costs must be ChainCosts, but is list"),
        ({"budget_bytes": 99, "costs": costs_of(2)}, ValueError, "of 2 functions, but there are 1"),
        (
            {"budget_bytes": 9, "costs": costs_of(1)},
            ValueError,
            "budget_bytes is 9, but the chain needs at least 32",
        ),
    ],
)
def test_bad_options_are_named(options, error, says):
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(error, match=says):
        libgrad.checkpoint_optimal([torch.sin], x, **options)


@pytest.mark.parametrize(
    "call",
    [
        libgrad.measure_chain,
        functools.partial(libgrad.checkpoint_optimal, budget_bytes=10**6),
    ],
)
def test_bad_arguments_are_named(call):
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="expected at least one function"):
        call([], x)
    with pytest.raises(TypeError, match="input must be a tensor, but is NoneType"):
        call([torch.sin], None)
    with pytest.raises(TypeError, match="each function must return a tensor, but one returned int"):
        call([len], x)
    with pytest.raises(TypeError, match="must be callable, but is int"):
        call([3], x)
    with pytest.raises(RuntimeError, match=r"inside a transform of torch\.func"):
        torch.vmap(lambda t: call([torch.sin], t) and t)(x)
    on = torch.profiler.profile(profile_memory=True)
    with on, pytest.raises(RuntimeError, match="cannot be used while a profiler is on"):
        call([torch.sin], x)
    call([torch.sin, torch.detach, torch.cos], torch.ones(2))


def test_costs_may_be_given_where_they_cannot_be_measured():
    x = torch.ones(2, requires_grad=True)
    costs = libgrad.measure_chain([torch.sin] * 4, x)
    with torch.profiler.profile(profile_memory=True):
        y = libgrad.checkpoint_optimal([torch.sin] * 4, x, budget_bytes=48, costs=costs)
    assert torch.equal(grad(y, x), grad(x.sin().sin().sin().sin(), x))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (([1], [1, 2], [1], 1), ValueError, "input_bytes has 2 entries, but seconds has 1"),
        (([1], [1], [1], 1, [1, 2]), ValueError, "forward_bytes has 2 entries"),
        (([1], [-1], [1], 1), ValueError, "costs must be finite and not negative"),
        (([float("nan")], [1], [1], 1), ValueError, "costs must be finite and not negative"),
        (([1], [1], [1], -1), ValueError, "costs must be finite and not negative"),
        (([1], [1.5], [1], 1), TypeError, "incompatible constructor arguments"),
    ],
)
def test_bad_costs_are_named(arguments, error, says):
    with pytest.raises(error, match=says):
        libgrad.ChainCosts(*arguments)


def test_too_many_functions_are_told():
    costs = costs_of(201)
    assert repr(costs) == "ChainCosts(201 functions, 201 s)"
    with pytest.raises(ValueError, match="up to 200 functions, but there are 201"):
        costs.runs(100)

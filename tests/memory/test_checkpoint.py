"""`checkpoint`: gradients beside those without it and torch's, and what it keeps."""

from __future__ import annotations

import contextlib
import functools
import gc
import threading
import weakref

import pytest
import torch
import torch.utils.checkpoint as theirs
from graph.models import MODELS, loss_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import libgrad


def leaf() -> torch.Tensor:
    return torch.linspace(1, 2, 4, requires_grad=True)


class Counted:
    """A function that saves four tensors, and counts its runs."""

    def __init__(self):
        self.runs = 0

    def __call__(self, x, scale=1):
        self.runs += 1
        return (x.exp() * x * scale).tanh()


def grad(y, x, **options):
    return torch.autograd.grad(y.sum(), x, **options)[0]


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_models_are_the_same_bits(name):
    make, data = MODELS[name]
    torch.manual_seed(0)
    module, x = make(), data()
    params = list(module.parameters())
    torch.manual_seed(1)
    expected = torch.autograd.grad(loss_of(module, x), params, allow_unused=True)
    torch.manual_seed(1)
    loss = libgrad.checkpoint(loss_of, module, x)
    torch.manual_seed(2)
    got = torch.autograd.grad(loss, params, allow_unused=True)
    for a, b in zip(got, expected, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_on_every_device(device):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Dropout(0.5)).to(device)
    x = torch.randn(4, 8, device=device, requires_grad=True)
    for autocast in (False, True):
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            torch.manual_seed(1)
            plain = layer(x)
            torch.manual_seed(1)
            y = libgrad.checkpoint(layer, x)
        torch.manual_seed(2)
        assert torch.equal(grad(y, x), grad(plain, x))


def test_forward_runs_once_more_for_each_backward():
    x, function = leaf(), Counted()
    y = libgrad.checkpoint(function, x)
    first = grad(y, x, retain_graph=True)
    assert torch.equal(grad(y, x), first)
    assert function.runs == 3


def test_backward_of_backward():
    x = torch.linspace(1, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: libgrad.checkpoint(Counted(), x), x)


def test_inside_each_other():
    x, function = leaf(), Counted()

    def twice(x):
        return libgrad.checkpoint(function, libgrad.checkpoint(function, x).sin())

    def mixed(x):
        return theirs.checkpoint(twice, libgrad.checkpoint(twice, x), use_reentrant=False)

    expected = grad(function(function(x).sin()), x)
    assert torch.equal(grad(libgrad.checkpoint(twice, x), x), expected)
    plain = x
    for _ in range(2):
        plain = function(function(plain).sin())
    assert torch.equal(grad(libgrad.checkpoint(mixed, x), x), grad(plain, x))


def test_arguments_and_results_of_all_kinds():
    x, w = leaf(), leaf()

    def function(x, options, w=None, *, power):
        return {"y": [(x * w) ** power, options["add"]], "none": None}

    out = libgrad.checkpoint(function, x, {"add": 3}, w=w, power=2)
    assert (out["y"][1], out["none"]) == (3, None)
    assert torch.equal(grad(out["y"][0], w), 2 * (x * w) * x)


def test_tensors_that_are_arguments_are_the_same_objects_in_forward():
    x, seen = leaf(), []
    libgrad.checkpoint(lambda t: seen.append(t) or t.exp(), x)
    assert seen[0] is x


def test_memory_is_that_of_the_inputs():
    x = torch.ones(1000, requires_grad=True)
    kept = x.exp()
    y = libgrad.checkpoint(lambda t: t.sin().cos().exp(), kept)
    graph = libgrad.graph(y)
    saved = [(s.field, s.nbytes) for s in graph.saved if s.nbytes > 8]
    assert sorted(saved) == [("checkpoint.args", 4000), ("result", 4000)]  # the same tensor
    assert graph.nbytes == 4000


def test_context_fn_wraps_both_runs():
    log = []

    @contextlib.contextmanager
    def context(name):
        log.append(name)
        yield

    x = leaf()
    y = libgrad.checkpoint(Counted(), x, context_fn=lambda: (context("forward"), context("again")))
    assert log == ["forward"]
    assert torch.equal(grad(y, x), grad(Counted()(x), x))
    assert log == ["forward", "again"]


class Ops(TorchDispatchMode):
    """The names of operators that run."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        self.seen.append(str(op))
        return op(*args, **(kwargs or {}))


def test_selective_checkpoints_keep_what_the_policy_says():
    x, w = torch.randn(4, 4, requires_grad=True), torch.randn(4, 4, requires_grad=True)
    policy = [torch.ops.aten.mm.default]
    contexts = functools.partial(theirs.create_selective_checkpoint_contexts, policy)
    y = libgrad.checkpoint(lambda t: (t @ w).tanh().sin(), x, context_fn=contexts)
    with Ops() as ops:
        got = grad(y, x)
    assert ops.seen.count("aten.mm.default") == 1  # that of backward
    assert ops.seen.count("aten.tanh.default") == 1
    assert torch.equal(got, grad((x @ w).tanh().sin(), x))


def test_torchs_switches_are_heard(monkeypatch):
    x = leaf()
    with monkeypatch.context() as patch, theirs.set_checkpoint_debug_enabled(True):
        patch.setattr("libgrad._memory.checkpoint._torch_checkpoint", lambda *_, debug, **__: debug)
        assert libgrad.checkpoint(torch.sin, x) is True
    runs = []

    def counts(t):
        y = t.exp()
        runs.append(1)  # behind what saves
        return y

    grad(libgrad.checkpoint(counts, x), x)
    assert len(runs) == 1
    with theirs.set_checkpoint_early_stop(False):
        y = libgrad.checkpoint(counts, x)
    grad(y, x)
    assert len(runs) == 3


def test_other_values_are_torchs():
    x = leaf()
    y = libgrad.checkpoint(lambda t: t.exp() * torch.is_grad_enabled(), x, use_reentrant=True)
    assert type(y.grad_fn).__name__ == "CheckpointFunctionBackward"
    assert torch.equal(y, x * 0)
    y = libgrad.checkpoint(Counted(), x, debug=True)
    assert torch.equal(grad(y, x), grad(Counted()(x), x))


def test_transforms_inside_and_batched_gradients():
    x = torch.randn(3, 4, requires_grad=True)
    function = Counted()
    y = libgrad.checkpoint(lambda t: torch.vmap(function)(t), x)
    assert torch.equal(grad(y, x), grad(function(x), x))

    def inner(t):
        return libgrad.checkpoint(function, t)

    y = libgrad.checkpoint(inner, x[0])
    seeds = torch.eye(4)
    rows = torch.autograd.grad(y, x, seeds, is_grads_batched=True)[0]
    expected = torch.autograd.grad(function(x[0]), x, seeds, is_grads_batched=True)[0]
    assert torch.equal(rows, expected)
    jacobian = libgrad.functional.jacobian(inner, x[0].detach())
    assert torch.equal(jacobian, expected[:, 0])


@pytest.mark.filterwarnings("ignore")
def test_compiled():
    x = leaf()
    compiled = torch.compile(lambda t: libgrad.checkpoint(torch.sin, t.exp()), backend="aot_eager")
    assert torch.equal(grad(compiled(x), x), grad(x.exp().sin(), x))
    torch._dynamo.reset()


def test_without_grad_it_is_a_call():
    function = Counted()
    with torch.no_grad():
        y = libgrad.checkpoint(function, leaf(), scale=2)
    assert (y.requires_grad, function.runs) == (False, 1)


def test_the_default_device_is_that_of_forward():
    x = torch.ones(3, device="meta", requires_grad=True)
    with torch.device("meta"):
        y = libgrad.checkpoint(lambda t: (t * torch.ones(3)).exp(), x)
    assert grad(y, x).device.type == "meta"


def test_nothing_is_kept():
    function = Counted()
    ref = weakref.ref(function)
    x = leaf()
    y = libgrad.checkpoint(function, x * 1)
    del function
    gc.disable()
    try:
        assert ref() is not None
        grad(y, x)
        assert ref() is None  # though y is there
    finally:
        gc.enable()


def test_backward_in_another_thread():
    x, got = leaf(), []
    y = libgrad.checkpoint(Counted(), x)
    thread = threading.Thread(target=lambda: got.append(grad(y, x)))
    thread.start()
    thread.join()
    assert torch.equal(got[0], grad(Counted()(x), x))

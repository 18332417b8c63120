"""Who keeps a ctx alive, and that neither threads nor the end of the program hurt."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from function_class.function_classes import function, ours
from support.parity import assert_same

import libgrad


class Token:
    """Lives as long as the ctx that has it."""


def keep_itself(ctx, x):
    ctx.itself = ctx
    return x * 2


def keep_output(ctx, x):
    ctx.y = x * 2
    return ctx.y


def keep_closure(ctx, x):
    y = x * 2
    ctx.f = lambda: (ctx, y)
    return y


def save_output(ctx, x):
    y = x * 2
    ctx.save_for_backward(y)
    return y


def save_dirty_output(ctx, x):
    ctx.mark_dirty(x)
    ctx.save_for_backward(x.mul_(2))
    return x


BODIES = [keep_itself, keep_output, keep_closure, save_output, save_dirty_output]


@pytest.mark.parametrize("body", BODIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_cycles_through_ctx_are_collected(body, requires_grad: bool) -> None:
    tokens = []

    def forward(ctx, x):
        ctx.token = Token()
        tokens.append(weakref.ref(ctx.token))
        return body(ctx, x)

    f = function(forward)
    leaf = torch.ones(4, requires_grad=requires_grad)
    for _ in range(3):
        f.apply(leaf * 1)
        f.apply((leaf * 1)[:2])
    gc.collect()
    assert [token() for token in tokens] == [None] * 6


def test_saved_tensors_die_with_the_graph_and_with_backward() -> None:
    alive = []

    def forward(ctx, x):
        saved = x * 2
        alive.append(weakref.ref(saved))
        ctx.save_for_backward(saved)
        return x * 1

    f = function(forward)
    x = torch.ones(2, requires_grad=True)
    y = f.apply(x).sum()
    libgrad.backward(y)
    assert alive[0]() is None
    y = f.apply(x)
    ctx = y.grad_fn
    del y
    assert ctx.saved_tensors[0] is not None  # a ctx owns its node, as torch's
    del ctx
    assert alive[1]() is None


def test_a_ctx_that_outlives_its_graph_says_that_its_tensors_are_gone() -> None:
    kept = []
    f = function(lambda ctx, x: (kept.append(ctx), ctx.save_for_backward(x), x * 1)[2])
    x = torch.ones(2, requires_grad=True)
    y = f.apply(x)
    libgrad.backward(y.sum())
    del y
    with pytest.raises(RuntimeError, match="saved tensors after they have already been freed"):
        _ = kept[0].saved_tensors
    with torch.no_grad():
        f.apply(x)
    assert kept[1].saved_tensors == ()


def test_threads_share_classes_and_graphs() -> None:
    a = torch.ones(100, requires_grad=True)
    shared = ours.Cube.apply(ours.Cube.apply(a)).sum()

    def work(_):
        for _ in range(40):
            x = torch.ones(8, requires_grad=True)
            libgrad.backward(ours.Cube.apply(ours.Cube.apply(x)).sum())
            assert x.grad.tolist() == [9.0] * 8
            (g,) = libgrad.grad(shared, a, retain_graph=True)
            assert g.tolist() == [9.0] * 100
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


class Deep(libgrad.Function):
    threads: set[int] = set()

    @staticmethod
    def forward(ctx, x, depth, fails):
        ctx.depth, ctx.fails = depth, fails
        ctx.save_for_backward(x)
        return x * 1

    @staticmethod
    def backward(ctx, g):
        Deep.threads.add(threading.get_ident())
        if ctx.depth == 0:
            if ctx.fails:
                raise KeyError("deep", 7)
            return g, None, None
        with torch.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            libgrad.backward(Deep.apply(x, ctx.depth - 1, ctx.fails).sum())
        return x.grad * g, None, None


def test_backward_inside_backward_on_pool_threads_keeps_results_and_exceptions() -> None:
    Deep.threads.clear()
    x = torch.ones(3, requires_grad=True)
    libgrad.backward(Deep.apply(x, 130, False).sum())
    assert x.grad.tolist() == [1.0] * 3
    assert len(Deep.threads) > 1
    with pytest.raises(KeyError) as caught:
        libgrad.backward(Deep.apply(x, 130, True).sum())
    assert caught.value.args == ("deep", 7)
    assert caught.traceback[-1].name == "backward"


def test_backward_through_the_same_node_from_within_does_not_deadlock() -> None:
    inner = []

    def backward(ctx, g):
        if not inner:
            inner.append(None)
            inner[0] = torch.autograd.grad(ctx.y, x, g * 5, retain_graph=True)[0]
        return g * 2

    f = function(lambda ctx, x: x * 2, backward)
    x = torch.ones(2, requires_grad=True)
    y = f.apply(x)
    y.grad_fn.y = y
    assert_same(libgrad.grad(y.sum(), x, retain_graph=True), (torch.full((2,), 2.0),))
    assert inner[0].tolist() == [10.0, 10.0]


EXIT = """
import builtins, threading, time
import libgrad, torch

class Deep(libgrad.Function):
    @staticmethod
    def forward(ctx, x, depth, fails):
        ctx.depth, ctx.fails, ctx.token = depth, fails, object()
        ctx.save_for_backward(x)
        return x * 1

    @staticmethod
    def backward(ctx, g):
        if ctx.depth == 0:
            if ctx.fails:
                raise KeyError("deep", 7)
            return g, None, None
        with torch.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            Deep.apply(x, ctx.depth - 1, ctx.fails).sum().backward()
        return x.grad * g, None, None

x = torch.ones(3, requires_grad=True)
builtins.kept = [Deep.apply(x, 0, False) for _ in range(3)]
builtins.ctx = Deep.apply(x, 0, False).grad_fn
builtins.cycle = Deep.apply(x, 0, False)
builtins.cycle.grad_fn.y = builtins.cycle
for fails in (False, True):
    try:
        Deep.apply(x, 100, fails).sum().backward()
    except KeyError as error:
        assert error.args == ("deep", 7)
def work():
    for _ in range(10):
        Deep.apply(Deep.apply(x, 0, False), 3, False).sum().backward()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done", flush=True)
time.sleep(0.5)  # a thread of torch's engine that still waits for the GIL here aborts the process
"""


def test_a_program_that_ends_with_graphs_and_engine_threads_alive_ends_well() -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")

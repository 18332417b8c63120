"""Functions whose second run makes other calls than forward, and is right all the same."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.utils.checkpoint as theirs
from memory.counted_operators import grads, runs, same, square
from torch import nn

import libgrad

kept = functools.partial(libgrad.checkpoint, save=("s",))


@pytest.fixture
def x():
    torch.manual_seed(0)
    runs.clear()
    return torch.rand(4, 4, requires_grad=True)


def agrees(function, x) -> bool:
    return same(grads(lambda x: kept(function, x), x), grads(function, x))


def test_gradients_inside_of_the_function(x):
    def function(x):
        z = x.detach().requires_grad_()
        (g,) = torch.autograd.grad((z.sin() * z).sum(), z)
        return (libgrad.name(x + g, "s").sin() + x).exp()

    assert agrees(function, x)


def test_gradients_of_what_the_function_made(x):
    def function(x):
        u = x.sin().exp()
        (g,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return libgrad.name((x * g).sin(), "s").exp().sin() * u

    assert agrees(function, x)


def test_a_name_in_what_runs_again_meanwhile(x):
    def inner(a, b):  # names nothing
        z = a.detach().requires_grad_()
        (g,) = torch.autograd.grad((z.sin() * z).sum(), z)
        return a * g + b

    def outer(a, b):
        libgrad.name(b, "s")
        return kept(inner, a, b) * a

    def whole(checkpoint):
        return lambda x: checkpoint(outer, x * 1, x * 2)

    assert same(grads(whole(libgrad.checkpoint), x), grads(whole(lambda f, a, b: f(a, b)), x))


def test_a_weight_that_autocast_has_cast_before(x):
    linear = nn.Linear(4, 4, bias=False)

    def block(h):
        u = linear(h)
        s = libgrad.name((h * 2).to(torch.bfloat16), "s")
        return (u * s).float()

    def loss(run, x):
        with torch.autocast("cpu", torch.bfloat16):
            return run(block, run(block, x))

    expected = grads(lambda x: loss(lambda f, h: f(h), x), x)
    assert same(grads(lambda x: loss(kept, x), x), expected)


def test_a_constant_that_is_made_once(x):
    made = {}

    def function(x):
        if not made:
            made["mask"] = torch.ones(4, 4).mul(0.5)
        return libgrad.name(x.mul(made["mask"]), "s").sin().mul(made["mask"]).exp()

    got = grads(lambda x: kept(function, x), x)
    assert same(got, grads(function, x))


def test_another_result_of_the_call_is_changed(x):
    def function(x):
        values, places = torch.sort(x)
        libgrad.name(places, "s")
        values.mul_(2)
        return values.sin().exp()

    assert agrees(function, x)


def test_memory_that_others_than_operators_fill(x):
    class Filled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            out = torch.zeros(4, 4)
            np.add(out.numpy(), x.detach().numpy(), out=out.numpy())
            return out

        @staticmethod
        def backward(ctx, g):
            return g

    assert agrees(lambda x: libgrad.name(Filled.apply(x.exp()), "s").sin().exp(), x)


def test_a_write_that_moves_no_version(x):
    def before(x):
        y = x * 2
        y.data.mul_(2)
        return libgrad.name(y, "s").sin().exp()

    def behind(x):
        y = libgrad.name(x * 2, "s")
        y.data.mul_(2)
        return y.sin().exp()

    assert agrees(before, x)
    with pytest.raises(RuntimeError, match="changed in place after"):
        kept(behind, x)


@pytest.mark.parametrize("outside", [libgrad.checkpoint, theirs.checkpoint])
def test_what_is_kept_is_computed_again_by_a_checkpoint_around(x, outside):
    def outer(x):
        u = x.exp()
        return kept(lambda: libgrad.name(u.sin(), "s").sin() * 3)

    got = grads(lambda x: outside(outer, x, use_reentrant=False), x)
    assert same(got, grads(outer, x))


def through_torch(function, x):
    return theirs.checkpoint(function, x, use_reentrant=False)


@pytest.mark.parametrize("outside", [libgrad.checkpoint, through_torch])
def test_a_backward_inside_of_a_backward(x, outside):
    class Reentrant(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y, box):
            ctx.box = box
            return y * 1

        @staticmethod
        def backward(ctx, g):
            if ctx.box:
                y = ctx.box.pop()
                with torch.enable_grad():
                    torch.autograd.grad(y.sum(), x, retain_graph=True)
            return g, None

    def whole(outside, inside, box):
        def inner(z):
            return inside(lambda a: Reentrant.apply(a.sin().exp(), box).sin().exp(), z.exp()).sin()

        y = outside(inner, x)
        box.append(y)
        return torch.autograd.grad(y.sum(), x, retain_graph=True)[0]

    def plain(function, x):
        return function(x)

    assert torch.equal(whole(outside, libgrad.checkpoint, []), whole(plain, plain, []))


def test_a_sparse_tensor_is_not_told_of_writes_to_others(x):
    def function(x):
        libgrad.name((x * 2).to_sparse(), "s")
        torch.eye(4).to_sparse().mul_(3)
        return x.sin().exp()

    assert agrees(function, x)


def test_a_tensor_of_inference_mode_is_refused(x):
    def function(x):
        with torch.inference_mode():
            constant = libgrad.name(torch.ones(4, 4) * 2, "s")
        return x + constant

    with pytest.raises(RuntimeError, match='"s" was made in inference mode'):
        kept(function, x)


def test_memory_goes_while_the_function_runs():
    def function(x):
        for _ in range(50):
            x = x.sin()
        return x

    def peak(run):
        x = torch.rand(100_000, requires_grad=True)
        return libgrad._C._demo.peak_bytes(lambda: run(function, x))

    assert peak(kept) <= peak(libgrad.checkpoint) + 400_000  # one tensor more


def test_what_did_not_move_is_not_run_again(x):
    def function(x):
        z = x.detach().requires_grad_()
        (g,) = torch.autograd.grad((z.sin() * z).sum(), z)
        return libgrad.name(square(x + g), "s").sin().exp()

    grads(lambda x: kept(function, x), x)
    assert runs["square"] == 1


def test_the_interpreter_ends_after_a_backward_that_failed():
    program = """
import libgrad, torch
def fails(x, runs=[]):
    runs.append(1)
    if len(runs) == 2:
        raise KeyError("mine")
    return x.sin().exp()
x = torch.ones(4, requires_grad=True)
b = libgrad.checkpoint(lambda z: z.sin().exp(), x)
a = libgrad.checkpoint(fails, x)
y = (a + b).sum()
try:
    y.backward()
except KeyError:
    pass
del a, b, y
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

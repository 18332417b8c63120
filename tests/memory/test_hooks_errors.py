"""Hooks on saved tensors when something goes wrong: errors, forks, the end of the interpreter."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from memory.test_hooks import EXACT, OURS, Counted, leaf, loss

import libgrad


def test_a_change_in_place_is_found():
    x = leaf()
    with Counted().hooks(compose=True):
        y = x.exp()
        z = y.sum()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
        z.backward()
    with libgrad.save_on_disk("/tmp"):
        y = x.exp()
        z = y.sum()
    y.mul_(2)
    assert torch.equal(torch.autograd.grad(z, x)[0], x.exp())  # it has a copy


def test_errors_of_hooks_pass_through_and_leave_nothing():
    def fails(value):
        raise KeyError("mine")

    x = leaf()
    with (
        libgrad.saved_tensors_hooks(fails, lambda t: t, compose=True),
        pytest.raises(KeyError, match="mine"),
    ):
        loss(x)
    with libgrad.saved_tensors_hooks(lambda t: t, fails, compose=True):
        y = loss(x)
    with pytest.raises(KeyError, match="mine"):
        y.backward()
    assert x.grad is None
    with Counted().hooks(only=fails), pytest.raises(TypeError, match="takes 1 positional argument"):
        loss(x)
    with libgrad.saved_tensors_hooks(lambda t: t, lambda t: 3, compose=True):
        y = loss(x)
    with pytest.raises(
        TypeError,
        match=r"Output of saved tensor unpack_hook expected to be a Tensor but got .* int",
    ):
        y.backward()
    loss(x).backward()
    assert x.grad is not None


@pytest.mark.parametrize("name", OURS)
def test_hooks_are_refused_where_torch_disables_them(name):
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        hooks = OURS[name]()
        with pytest.raises(RuntimeError, match="not here"):
            hooks.__enter__()
    with OURS[name]():
        loss(leaf()).backward()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: libgrad.saved_tensors_hooks(1, len), TypeError, "pack_hook must be callable"),
        (lambda: libgrad.saved_tensors_hooks(len, None), TypeError, "unpack_hook must be callable"),
        (lambda: libgrad.compress("half"), TypeError, "dtype must be a torch.dtype, but is str"),
        (lambda: libgrad.compress(torch.int8), RuntimeError, "dtype must be one of floating point"),
        (lambda: libgrad.compress(only=3), TypeError, "compress: only must be callable"),
        (lambda: libgrad.compress(compose=1), TypeError, "compose must be bool, but is int"),
        (lambda: libgrad.save_on_cpu(1), TypeError, "pin_memory must be bool, but is int"),
        (lambda: libgrad.save_on_cpu(True, 0), TypeError, "device_type must be str, but is int"),
        (lambda: libgrad.save_on_disk(3), TypeError, "not int"),
        (lambda: libgrad.save_on_disk("/none"), RuntimeError, "path must be a folder that can be"),
        (lambda: libgrad.save_on_disk(__file__), RuntimeError, "Not a directory"),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call()


ENDS = """
import torch, libgrad, threading
x = torch.ones(3, requires_grad=True)
kept = []
for hooks in (libgrad.compress(), libgrad.save_on_disk("/tmp"),
              libgrad.saved_tensors_hooks(lambda t: [t], lambda v: v[0], only=lambda op, t: True)):
    hooks.__enter__()
    kept.append(x.exp())
    kept.append(hooks)
print("end", flush=True)
"""


def test_the_interpreter_may_end_inside_hooks():
    done = subprocess.run([sys.executable, "-c", ENDS], check=False, capture_output=True, text=True)
    assert (done.stdout, done.returncode, done.stderr) == ("end\n", 0, "")


@pytest.mark.parametrize("name", OURS)
def test_leaving_without_entering_is_told(name):
    hooks = OURS[name]()
    with pytest.raises(RuntimeError, match="left by a thread that did not enter it"):
        hooks.__exit__(None, None, None)
    with hooks:
        loss(leaf()).backward()


def test_threads_share_a_graph_and_have_their_own():
    """Functions that read saved tensors with the GIL held, in checkpoints and hooks."""

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] ** 2 * g

    def step(t):
        return Cube.apply(t.exp()).sin()

    def run():
        for _ in range(20):
            [got] = torch.autograd.grad(shared.sum(), x, retain_graph=True)
            same.append(torch.equal(got, expected))
            for name in EXACT:
                with OURS[name](only=lambda op, tensor: op == "aten::exp"):
                    y = libgrad.checkpoint_optimal([step] * 4, x, slots=1)
                same.append(torch.equal(torch.autograd.grad(y.sum(), x)[0], chained))

    x = torch.linspace(0.1, 0.5, 4, requires_grad=True)
    shared = libgrad.checkpoint(lambda t: libgrad.checkpoint(step, t).cos(), x)
    [expected] = torch.autograd.grad(step(x).cos().sum(), x)
    [chained] = torch.autograd.grad(step(step(step(step(x)))).sum(), x)
    same = []
    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(same) == 6 * 20 * (1 + len(EXACT))
    assert all(same)


FORKS = """
import os, torch, libgrad
x = torch.ones(3, requires_grad=True)
with libgrad.save_on_disk("/tmp"):
    y = x.exp().sum()
    child = os.fork()
    z = x.sin().sum()  # each writes to a file of its own
right = torch.equal(torch.autograd.grad(z, x)[0], x.cos())
if child == 0:
    try:
        torch.autograd.grad(y, x)
    except RuntimeError as error:
        right &= "before a fork can be read by the process that saved it" in str(error)
        os._exit(0 if right else 1)
    os._exit(2)
code = os.waitpid(child, 0)[1]
print(right, code, torch.equal(torch.autograd.grad(y, x)[0], x.exp()))
"""


def test_a_forked_child_writes_to_a_file_of_its_own():
    done = subprocess.run(
        [sys.executable, "-c", FORKS], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True 0 True\n", "")

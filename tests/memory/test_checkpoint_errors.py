"""`checkpoint` when something goes wrong: errors, functions that do something else, the end."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import torch
import torch.utils.checkpoint as theirs
from memory.test_checkpoint import Counted, grad, leaf

import libgrad


def test_a_context_that_suppresses_is_refused():
    def fails(x):
        raise ValueError("mine")

    with pytest.raises(RuntimeError, match="suppressed an exception of the function"):
        libgrad.checkpoint(
            fails,
            leaf(),
            context_fn=lambda: (contextlib.suppress(ValueError), contextlib.nullcontext()),
        )


def test_what_is_else_than_in_forward_is_a_checkpoint_error():
    x = leaf()
    runs = []

    def fewer(t):
        runs.append(1)
        return t.exp().sin() if len(runs) == 1 else t * 1

    def other(t):
        runs.append(1)
        return t.exp() if len(runs) == 1 else t.double().exp()

    y = libgrad.checkpoint(fewer, x)
    with pytest.raises(theirs.CheckpointError, match="saved during recomputation: 0") as error:
        grad(y, x)
    assert "Number of tensors saved during forward: 2" in str(error.value)
    runs.clear()
    y = libgrad.checkpoint(other, x)
    with pytest.raises(theirs.CheckpointError, match="different metadata") as error:
        grad(y, x, retain_graph=True)
    assert "saved metadata: Float [4] on cpu" in str(error.value)
    runs.clear()
    grad(libgrad.checkpoint(other, x, determinism_check="none"), x)


def test_errors_pass_through_and_nothing_is_left():
    x = leaf()
    runs = []

    def fails(t):
        runs.append(1)
        if len(runs) == 2:
            raise KeyError("mine")
        return t.exp().sin()

    y = libgrad.checkpoint(fails, x)
    with pytest.raises(KeyError, match="mine"):
        grad(y, x, retain_graph=True)
    assert torch.equal(grad(y, x), grad(x.exp().sin(), x))
    runs[:] = [1]
    with pytest.raises(KeyError, match="mine"):
        libgrad.checkpoint(fails, x)
    assert torch.equal(grad(x.exp(), x), x.exp())


def test_a_function_that_catches_everything_is_right():
    x = leaf()

    def function(t):
        try:
            y = t.exp()
        except Exception:
            y = t * 0
        return y.sin() * y

    assert torch.equal(grad(libgrad.checkpoint(function, x), x), grad(function(x), x))


def test_a_changed_input_is_told():
    x = leaf()
    kept = x * 1
    y = libgrad.checkpoint(Counted(), kept)
    kept.add_(1)
    with pytest.raises(RuntimeError, match="is at version 1; expected version 0"):
        grad(y, x)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: libgrad.checkpoint(3, x), TypeError, "function must be callable, but is int"),
        (
            lambda x: libgrad.checkpoint(torch.sin, x, determinism_check="all"),
            ValueError,
            'determinism_check must be "default" or "none", but is',
        ),
        (
            lambda x: libgrad.checkpoint_sequential([torch.sin], 2, x),
            ValueError,
            "segments must be 1 to 1, the number of functions, but is 2",
        ),
        (
            lambda x: libgrad.checkpoint_optimal([], x, slots=1),
            ValueError,
            "expected at least one function",
        ),
        (
            lambda x: libgrad.checkpoint_optimal([torch.sin], x, slots=-1),
            ValueError,
            "slots must not be negative, but is -1",
        ),
        (
            lambda x: libgrad.checkpoint_optimal([torch.sin] * 1001, x, slots=0),
            RuntimeError,
            "1001 functions need at least one slot: without any, up to 1000 can be run",
        ),
        (
            lambda x: libgrad.checkpoint_optimal([torch.sin], 3, slots=1),
            TypeError,
            "input must be a tensor, but is int",
        ),
        (
            lambda x: libgrad.checkpoint_optimal([torch.sin], x, slots="all"),
            TypeError,
            "slots must be int, but is str",
        ),
        (
            lambda x: libgrad.checkpoint_optimal([len], x, slots=1),
            TypeError,
            "each function must return a tensor, but one returned int",
        ),
        (
            lambda x: torch.func.grad(lambda t: libgrad.checkpoint(torch.sin, t).sum())(x),
            RuntimeError,
            "cannot be used inside a transform of torch.func",
        ),
        (
            lambda x: torch.vmap(lambda t: libgrad.checkpoint(torch.sin, t))(x),
            RuntimeError,
            "cannot be used inside a transform of torch.func",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, says):
    with pytest.raises(error, match=says):
        call(torch.ones(3))


ENDS = """
import torch, libgrad
x = torch.ones(3, requires_grad=True)
y = libgrad.checkpoint(lambda t: t.exp(), x)
y.sum().backward(retain_graph=True)
print("end", flush=True)
"""


def test_the_interpreter_may_end_before_the_graph():
    done = subprocess.run([sys.executable, "-c", ENDS], check=False, capture_output=True, text=True)
    assert (done.stdout, done.returncode, done.stderr) == ("end\n", 0, "")


@pytest.mark.parametrize("checkpoint", [libgrad.checkpoint, theirs.checkpoint])
def test_saved_tensors_of_a_function_are_read_once(checkpoint):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] * ctx.saved_tensors[0] * g

    x = leaf()
    y = checkpoint(lambda t: Cube.apply(t.exp()), x, use_reentrant=False)
    with pytest.raises(theirs.CheckpointError, match=r"already unpacked once.*ctx\.saved_tensors"):
        y.sum().backward()


@pytest.mark.parametrize("checkpoint", [libgrad.checkpoint, theirs.checkpoint])
def test_backwards_of_a_group_run_forward_again_once(checkpoint):
    runs = 0

    def function(x):
        nonlocal runs
        runs += 1
        return x.sin(), x.exp()

    x = leaf()
    sin, exp = checkpoint(function, x, use_reentrant=False)
    with theirs.GraphExecGroup():
        got = grad(sin, x, retain_graph=True), grad(exp, x, retain_graph=True)
        assert runs == 2
        with pytest.raises(theirs.CheckpointError, match="GraphExecGroup"):
            grad(sin, x, retain_graph=True)
    assert torch.equal(got[0], x.cos())
    assert torch.equal(got[1], x.exp())
    with theirs.GraphExecGroup():  # another one
        assert torch.equal(grad(sin, x, retain_graph=True), x.cos())
    grad(sin, x), grad(exp, x)
    assert runs == 5


@pytest.mark.parametrize("checkpoint", [libgrad.checkpoint, theirs.checkpoint])
def test_a_tensor_without_grad_is_the_same_object_again(checkpoint):
    seen = []

    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(factor)
            return x * factor

        @staticmethod
        def backward(ctx, g):
            seen.extend(ctx.saved_tensors)
            return g * seen[-1], None

    factor = torch.tensor(2.0)
    checkpoint(Scale.apply, leaf(), factor, use_reentrant=False).sum().backward()
    assert seen[0] is factor


@pytest.mark.parametrize(
    "call",
    [
        lambda functions, x: libgrad.checkpoint_sequential(functions, 1, x),
        lambda functions, x: libgrad.checkpoint_optimal(functions, x, slots=1),
        libgrad.measure_chain,
    ],
)
def test_functions_that_are_none_are_named(call):
    with pytest.raises(TypeError, match=r"functions must be a Sequential or a list.*NoneType"):
        call(None, leaf())
    with pytest.raises(TypeError, match=r"functions\[1\] must be callable, but is NoneType"):
        call([torch.sin, None], leaf())


def test_segments_are_an_int():
    with pytest.raises(TypeError, match="segments must be int, but is float"):
        libgrad.checkpoint_sequential([torch.sin], 1.0, leaf())


def test_what_saves_more_is_told_as_torch_tells_it():
    runs = []

    def more(t):
        runs.append(1)
        return t.exp() if len(runs) == 1 else t.exp().sin()

    y = libgrad.checkpoint(more, leaf(), early_stop=False)
    with pytest.raises(theirs.CheckpointError, match="trying to save more tensors"):
        y.sum().backward()

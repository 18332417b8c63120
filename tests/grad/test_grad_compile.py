"""torch.compile traces libgrad's modes, `grad` and `backward` as it traces torch's."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo.testing

import libgrad

TORCH = SimpleNamespace(
    **{name: getattr(torch, name) for name in ("no_grad", "enable_grad", "inference_mode")},
    **{name: getattr(torch, name) for name in ("set_grad_enabled", "is_grad_enabled")},
    grad=torch.autograd.grad,
    backward=lambda loss, *args, **kwargs: loss.backward(*args, **kwargs),
)
TRACES = hasattr(torch._dynamo.config, "trace_autograd_ops")
pytestmark = pytest.mark.filterwarnings("ignore")  # what Dynamo says of breaks in the graph


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def inside(lib):
    def f(x):
        with lib.no_grad():
            y = x * 2
            with lib.enable_grad():
                z = x * 3
        return y, z, x + y

    return f


def set_inside(lib):
    def f(x):
        lib.set_grad_enabled(False)
        y = x * 2
        lib.set_grad_enabled(True)
        with lib.set_grad_enabled(False):
            z = x * 3
        return y, z, x * 4

    return f


def inference(lib):
    def f(x):
        with lib.inference_mode():
            y = x * 2
        with lib.inference_mode(False):
            z = x * 3
        return y + 0, z

    return f


def decorated(lib):
    @lib.no_grad()
    def first(x):
        return x * 2

    @lib.no_grad
    def second(x):
        with lib.enable_grad():
            return x * 3

    @lib.enable_grad()
    def third(x):
        return x * 4

    return lambda x: (first(x), second(x), third(x), x + 1)


def decorated_itself(lib):
    return lib.no_grad()(lambda x: (x * 2, x + 1))


def decorated_inside(lib):
    def f(x):
        @lib.no_grad()
        def g(x):
            return x * 2

        return g(x), x * 3

    return f


def decorated_with_inference(lib):
    @lib.inference_mode()
    def g(x):
        return x * 2

    return lambda x: (g(x) + 0, x * 3)


def method(lib):
    class Model(torch.nn.Module):
        @lib.no_grad()
        def target(self, x):
            return x * 2

        def forward(self, x):
            return self.target(x), x * 3

    return Model()


def asking(lib):
    def f(x):
        with lib.no_grad():
            y = x * (2 if lib.is_grad_enabled() else 5)
        return y, x * (3 if lib.is_grad_enabled() else 7)

    return f


def broken(lib):
    def f(x):
        with lib.no_grad():
            y = x * 2
            torch._dynamo.graph_break()
            z = x * 3
        return y, z, x * 4

    return f


def backward_to_inputs(lib):
    def f(x):
        w, b = x.detach().requires_grad_(), x.detach().requires_grad_()
        lib.backward((w * 2 + b).sum(), inputs=[w])
        assert b.grad is None
        return w.grad

    return f


WHOLE = [
    *(inside, set_inside, inference, decorated, decorated_itself, decorated_inside),
    *(decorated_with_inference, method, asking),
]


def grad(lib):
    def f(x):
        (g,) = lib.grad((x**3).sum(), x, create_graph=True)
        return g, lib.grad((x * 2).sum(), (x,), torch.tensor(3.0))[0]

    return f


def backward(lib):
    def f(x):
        w = x.detach().requires_grad_()
        lib.backward((w * x.detach()).sum())
        return w.grad

    return f


def outcome(f: Callable[..., Any], x: torch.Tensor) -> list[Any]:
    got = f(x)
    got = got if isinstance(got, tuple) else (got,)
    assert torch.is_grad_enabled()
    return [(y.requires_grad, y.is_inference(), y.tolist()) for y in got]


def compiled(make: Callable[..., Any], lib: Any, fullgraph: bool) -> tuple[Any, list[Any]]:
    """Compile `make(lib)`; return how many graphs that made, or why none, and what it returned."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    f = make(lib)
    try:
        got = outcome(torch.compile(f, backend=counter, fullgraph=fullgraph), x)
    except torch._dynamo.exc.Unsupported as error:
        return type(error).__name__, []
    return counter.frame_count, got


@pytest.mark.parametrize("make", WHOLE)
def test_modes_are_traced_whole(make):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graphs, got = compiled(make, libgrad, True)
    assert graphs == 1
    assert got == outcome(make(libgrad), x)


@pytest.mark.parametrize("make", [*WHOLE, broken])
def test_modes_break_the_graph_no_more_than_those_of_torch(make):
    ours, theirs = compiled(make, libgrad, False), compiled(make, TORCH, False)
    assert ours == theirs
    assert ours[0] > 0


def test_modes_take_their_argument_by_name():
    def f(x):
        libgrad.set_grad_enabled(mode=False)
        y = x * 2
        libgrad.set_grad_enabled(mode=True)
        with libgrad.inference_mode(mode=False):
            return y, x * 3

    graphs, got = compiled(lambda _: f, libgrad, True)
    assert (graphs, [requires for requires, _, _ in got]) == (1, [False, True])


@pytest.mark.skipif(not TRACES, reason="this torch traces no gradients")
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("make", [grad, backward, backward_to_inputs])
def test_gradients_are_traced_where_torch_traces_its_own(make, traced):
    with torch._dynamo.config.patch(trace_autograd_ops=traced):
        for fullgraph in (True, False):
            assert compiled(make, libgrad, fullgraph) == compiled(make, TORCH, fullgraph)
        if make is grad and traced:
            assert compiled(make, libgrad, True)[0] == 1


@pytest.mark.skipif(not TRACES, reason="this torch traces no gradients")
def test_gradients_for_a_dict_are_traced():
    def f(x):
        return libgrad.grad((x**2).sum(), {"x": x})["x"]

    with torch._dynamo.config.patch(trace_autograd_ops=True):
        assert compiled(lambda _: f, libgrad, True) == (1, [(False, False, [2.0, 4.0])])


def test_error_in_a_compiled_block_leaves_the_mode():
    @torch.compile(backend="eager")
    def f(x):
        with libgrad.no_grad():
            y = x * 2
            raise ValueError("mine")
        return y

    with pytest.raises(ValueError, match="mine"):
        f(torch.ones(2))
    assert torch.is_grad_enabled()


def test_torch_may_be_compiled_with_before_libgrad_is_imported():
    code = """
import torch, torch._dynamo
import libgrad
def f(x):
    with libgrad.no_grad():
        return x * 2
y = torch.compile(f, backend="eager", fullgraph=True)(torch.ones(2, requires_grad=True))
print(y.requires_grad)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


def test_modes_of_eager_code_stay_those_of_libgrad():
    torch._dynamo.reset()
    with contextlib.ExitStack() as stack:
        mode = libgrad.no_grad()
        stack.enter_context(mode)
        assert type(mode) is libgrad.no_grad
        assert not libgrad.is_grad_enabled()

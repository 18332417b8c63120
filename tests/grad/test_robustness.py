"""Threads, exceptions in callbacks, fork, deep graphs, interpreter exit: nothing breaks."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from support.parity import assert_same, python
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import libgrad


class Mine(Exception):
    """An exception that only this file knows."""


def test_eight_threads_at_once_each_get_their_own_gradients() -> None:
    barrier = threading.Barrier(8)

    def work(k: int) -> bool:
        x = torch.arange(4.0) + k
        x.requires_grad_()
        barrier.wait()
        for _ in range(200):
            (g,) = libgrad.grad((x**3).sum(), x)
            libgrad.backward((x**3).sum())
            if not torch.equal(g, x.grad):
                return False
            x.grad = None
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_eight_threads_on_one_retained_graph() -> None:
    x = torch.randn(64, requires_grad=True)
    y = (x.exp() * x).sum()
    expected = libgrad.grad(y, x, retain_graph=True)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: libgrad.grad(y, x, retain_graph=True), range(200)))
    for result in results:
        assert_same(result, expected)


def test_the_gil_is_free_while_the_engine_runs() -> None:
    entered, leave = threading.Event(), threading.Event()
    x = torch.ones(2, requires_grad=True)
    y = x * 2

    def wait(_: Tensor) -> None:
        entered.set()
        assert leave.wait(60)

    y.register_hook(wait)
    worker = threading.Thread(target=lambda: libgrad.backward(y.sum()))
    worker.start()
    assert entered.wait(60)
    libgrad.backward((x * 3).sum(), inputs=x)  # while the other one is inside
    leave.set()
    worker.join()
    assert x.grad.tolist() == [5.0, 5.0]


def raise_mine(*_: Any) -> None:
    raise Mine("from a callback")


def fail_in_tensor_hook(x: Tensor) -> Tensor:
    y = x * 2
    y.register_hook(raise_mine)
    return y


def fail_in_node_hook(x: Tensor) -> Tensor:
    y = x * 2
    y.grad_fn.register_hook(raise_mine)
    return y


def fail_in_post_accumulate_hook(x: Tensor) -> Tensor:
    x.register_post_accumulate_grad_hook(raise_mine)
    return x * 2


def fail_in_unpack_hook(x: Tensor) -> Tensor:
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, raise_mine):
        return x.exp()


def fail_in_function(x: Tensor) -> Tensor:
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            return x * 2

        backward = staticmethod(raise_mine)

    return Fails.apply(x)


def fail_in_engine_callback(x: Tensor) -> Tensor:
    y = x * 2
    queue = torch.autograd.Variable._execution_engine.queue_callback
    y.register_hook(lambda _: queue(raise_mine))
    return y


FAILING = [
    fail_in_tensor_hook,
    fail_in_node_hook,
    fail_in_post_accumulate_hook,
    fail_in_unpack_hook,
    fail_in_function,
    fail_in_engine_callback,
]


@pytest.mark.parametrize("make", FAILING, ids=lambda f: f.__name__)
def test_exceptions_of_callbacks_keep_type_and_traceback(
    make: Callable[[Tensor], Tensor], device: str
) -> None:
    x = torch.ones(2, device=device, requires_grad=True)
    with pytest.raises(Mine, match=r"^from a callback$") as caught:
        libgrad.backward(make(x).sum())
    assert "raise_mine" in [
        frame.name for frame in traceback.extract_tb(caught.value.__traceback__)
    ]
    y = torch.ones(2, device=device, requires_grad=True)
    libgrad.backward((y * 2).sum())  # the engine and the GIL are in order
    assert y.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exceptions_that_are_no_exception_get_through(error: type[BaseException]) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 2

    def stop(_: Tensor) -> None:
        raise error

    y.register_hook(stop)
    with pytest.raises(error):
        libgrad.grad(y.sum(), x)


def test_exceptions_in_deep_reentrant_backward_keep_their_type() -> None:
    class Deep(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor, depth: int) -> Tensor:
            ctx.depth = depth
            return x.clone()

        @staticmethod
        def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
            if ctx.depth == 0:
                raise Mine("at the bottom")
            with torch.enable_grad():
                x = g.detach().requires_grad_()
                libgrad.backward(Deep.apply(x, ctx.depth - 1).sum())
            return g, None

    x = torch.ones(1, requires_grad=True)
    with pytest.raises(Mine, match="at the bottom"):
        libgrad.backward(Deep.apply(x, 150).sum())  # beyond 60 levels on other threads


def test_a_chain_of_a_million_nodes() -> None:
    code = """
x = torch.ones((), requires_grad=True)
y = x
for _ in range(1_000_000):
    y = y + 1
print(libgrad.grad(y, x, retain_graph=True)[0].item())
libgrad.backward(y)
print(x.grad.item())
"""
    assert python(code) == "1.0\n1.0\n"


def test_fork_after_import_and_use() -> None:
    code = """
import os
x = torch.ones(2, requires_grad=True)
libgrad.backward((x * 2).sum())
child = os.fork()
if child == 0:
    y = torch.ones(2, requires_grad=True)
    ok = libgrad.grad((y * 3).sum(), y)[0].tolist() == [3.0, 3.0]
    os._exit(0 if ok else 1)
print(os.waitpid(child, 0)[1])
"""
    assert python(code, "-W", "ignore") == "0\n"


def test_interpreter_exit_with_graphs_nodes_and_modes_alive() -> None:
    code = """
import threading
x = torch.ones(2, requires_grad=True)
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 2
    @staticmethod
    def backward(ctx, g): return g * 2
y = F.apply(libgrad._C._demo.swish(x)).sum()
y.register_hook(lambda g: g)
node = libgrad.node(y)
(g,) = libgrad.grad(y, x, create_graph=True)
cycle = [y, g, node]; cycle.append(cycle)
mode = libgrad.no_grad(); mode.__enter__()
print("done")
"""
    for _ in range(5):
        assert python(code) == "done\n"


def test_subclasses_see_the_call_through_torch_function() -> None:
    calls = []

    class Seen(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            calls.append((func, args, kwargs))
            return super().__torch_function__(func, types, args, kwargs or {})

    x = torch.ones(2).as_subclass(Seen).requires_grad_()
    y = (x * x).sum()
    calls.clear()
    result = libgrad.grad(y, {"x": x}, create_graph=True)
    assert [func for func, _, _ in calls if func in (libgrad.grad, libgrad.backward)] == [
        libgrad.grad
    ]
    _, args, kwargs = calls[0]
    assert args == ((y,), (x,))
    assert kwargs["create_graph"] is True
    assert result["x"].tolist() == [2.0, 2.0]
    calls.clear()
    libgrad.backward(y, inputs=[x])
    assert calls[0][0] is libgrad.backward
    assert x.grad.tolist() == [2.0, 2.0]


def test_torch_function_modes_and_lookalikes_see_the_call() -> None:
    class Mode(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(func)
            return func(*args, **(kwargs or {}))

    class Lookalike:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return "taken over"

    seen: list[object] = []
    x = torch.ones(2, requires_grad=True)
    with Mode():
        libgrad.grad((x * 2).sum(), x)
    assert libgrad.grad in seen
    assert libgrad.grad(Lookalike(), x) == "taken over"
    assert libgrad.grad([x.sum()], [x, Lookalike()]) == "taken over"


def test_dispatch_modes_see_the_seed_being_made() -> None:
    class Log(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    seen: list[str] = []
    x = torch.tensor(2.0, requires_grad=True)
    y = x * x
    with Log():
        libgrad.grad(y, x)
    assert "aten.ones_like.default" in seen

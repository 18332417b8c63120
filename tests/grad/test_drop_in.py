"""libgrad in torch's place: what PyTorch builds on grad and backward still works."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from support.parity import assert_same
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import libgrad


@pytest.fixture(autouse=True)
def _in_torchs_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "grad", libgrad.grad)
    monkeypatch.setattr(torch.autograd, "backward", libgrad.backward)


def function(x: Tensor, y: Tensor) -> Tensor:
    return (x.sin() * y).cumsum(0) * y.exp()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)


@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"vectorize": True}], ids=str)
def test_functional_jacobian_and_hessian(inputs: tuple[Tensor, Tensor], options: dict) -> None:
    jacobian = torch.autograd.functional.jacobian(function, inputs, **options)
    assert_close(jacobian, torch.func.jacrev(function, (0, 1))(*inputs))

    def scalar(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y).sum()

    hessian = torch.autograd.functional.hessian(scalar, inputs, **options)
    assert_close(hessian, torch.func.hessian(scalar, (0, 1))(*inputs))


def test_functional_products(inputs: tuple[Tensor, Tensor]) -> None:
    v = torch.ones(3, dtype=torch.float64)
    functional = torch.autograd.functional
    expected = torch.func.jvp(function, inputs, (v, v))[1]
    assert_close(functional.jvp(function, inputs, (v, v))[1], expected)
    assert_close(functional.vjp(function, inputs, v)[1], torch.func.vjp(function, *inputs)[1](v))
    for product in (functional.hvp, functional.vhp):
        product(lambda x, y: function(x, y).sum(), inputs, (v, v), strict=True)


def test_gradcheck_with_everything_on(inputs: tuple[Tensor, Tensor]) -> None:
    leaves = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(
        function, leaves, check_batched_grad=True, check_forward_ad=True, check_grad_dtypes=True
    )
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(
        function, leaves, check_batched_grad=True, check_fwd_over_rev=True
    )


def test_torch_func_transforms(inputs: tuple[Tensor, Tensor]) -> None:
    def scalar(x: Tensor) -> Tensor:
        return function(x, inputs[1]).sum()

    x = inputs[0]
    first = torch.func.grad(scalar)
    assert_close(torch.func.vmap(first)(torch.stack([x, 2 * x]))[1], first(2 * x))
    assert_close(torch.func.jacrev(first)(x), torch.func.hessian(scalar)(x))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint(use_reentrant: bool) -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3)) for _ in range(4)))
    twin, x = copy.deepcopy(model), torch.randn(2, 4, requires_grad=True)
    grads = []
    for module, run in (
        (model, lambda: checkpoint(model, x, use_reentrant=use_reentrant)),
        (twin, lambda: checkpoint_sequential(twin, 2, x, use_reentrant=use_reentrant)),
    ):
        torch.manual_seed(0)
        run().sum().backward()
        grads.append([p.grad for p in module.parameters()])
    assert_same(*grads)


def test_reentrant_backward_inside_a_function() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                libgrad.backward(leaf * leaf)
                assert torch.equal(libgrad.grad(leaf * leaf, leaf)[0], leaf.grad)
            return g * leaf.grad

    x = torch.tensor(3.0, requires_grad=True)
    Twice.apply(x).backward()
    assert x.grad.item() == 6.0


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # gloo and DDP warn about this machine
def test_distributed_data_parallel(process_group: None) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    parallel = nn.parallel.DistributedDataParallel(copy.deepcopy(model))
    x = torch.randn(5, 4)
    for module in (model, parallel):
        for _ in range(2):
            libgrad.backward(module(x).pow(2).sum())
    assert_close([p.grad for p in model.parameters()], [p.grad for p in parallel.parameters()])


def test_hooks_of_every_kind_run_in_torchs_order() -> None:
    def trace(backward: object) -> list[str]:
        seen: list[str] = []
        x = torch.ones(2, requires_grad=True)
        y = x * 2
        y.register_hook(lambda g: seen.append("tensor"))
        y.grad_fn.register_prehook(lambda g: seen.append("node pre"))
        y.grad_fn.register_hook(lambda gi, go: seen.append("node post"))
        x.register_post_accumulate_grad_hook(lambda t: seen.append("accumulated"))
        torch.autograd.graph.register_multi_grad_hook([x, y], lambda gs: seen.append("multi"))
        backward(y.sum())
        return seen

    from torch.autograd import Variable

    def by_engine(y: Tensor) -> None:
        Variable._execution_engine.run_backward(
            (y,), (torch.ones_like(y),), False, False, (), True, accumulate_grad=True
        )

    assert trace(libgrad.backward) == trace(by_engine)


def test_saved_tensor_hooks_and_anomaly_mode() -> None:
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        x = torch.randn(3, requires_grad=True)
        y = x.exp().sum()
    assert len(packed) == 1
    assert_same(libgrad.grad(y, x)[0], x.detach().exp())


def test_debug_log_of_torchs_graph_names_the_nodes(caplog: pytest.LogCaptureFixture) -> None:
    x = torch.ones(2, requires_grad=True)
    with caplog.at_level(logging.DEBUG, logger="torch.autograd.graph"):
        libgrad.backward((x * 2).sum())
    assert "MulBackward0" in caplog.text
    caplog.clear()
    libgrad.backward((x * 2).sum())
    assert caplog.text == ""


def assert_close(ours: object, theirs: object) -> None:
    """Close, not equal: the two sides run different kernels (batched, or in another order)."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)

"""`grad` and `backward` against torch.autograd, option by option, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.parity import TORCH_TAKES_DICTS, assert_same
from torch import Tensor
from torch.autograd.graph import get_gradient_edge as edge

import libgrad

Leaves = dict[str, Tensor]


@pytest.fixture
def leaves(device: str, dtype: torch.dtype) -> Leaves:
    """x [3], w [3, 3], s [] and an unused u [2], all of one dtype on one device."""
    shapes = {"x": (3,), "w": (3, 3), "s": (), "u": (2,)}
    return {
        name: torch.randn(shape, dtype=dtype, device=device, requires_grad=True)
        for name, shape in shapes.items()
    }


def vector(t: Leaves) -> Tensor:
    """A non-scalar function of x, w and s."""
    return torch.tanh(t["w"] @ t["x"]) * t["s"] + t["x"] / (2 + t["x"] * t["x"])


def real(t: Leaves) -> Tensor:
    """A real scalar function of x, w and s."""
    return torch.view_as_real(v).sum() if (v := vector(t)).is_complex() else v.sum()


Case = Callable[[Any, Leaves], Any]
GRAD: dict[str, Case] = {
    "one tensor": lambda a, t: a.grad(real(t), t["x"]),
    "list": lambda a, t: a.grad([real(t)], [t["x"], t["w"], t["s"]]),
    "tuple": lambda a, t: a.grad((real(t),), (t["x"], t["w"])),
    "generator": lambda a, t: a.grad(real(t), (t[n] for n in "xw")),
    "dict": lambda a, t: a.grad(real(t), {"first": t["x"], 2: t["w"]}),
    "positional": lambda a, t: a.grad(real(t), [t["u"]], None, None, False, True, True),
    "same input twice": lambda a, t: a.grad(real(t), [t["x"], t["x"]]),
    "several outputs": lambda a, t: a.grad([real(t), (t["x"] * t["x"]).sum().abs()], t["x"]),
    "seed": lambda a, t: a.grad(vector(t), t["x"], torch.ones_like(t["x"])),
    "seeds, one None": lambda a, t: a.grad(
        [vector(t), real(t)], [t["x"], t["s"]], [torch.full_like(t["x"], 2), None]
    ),
    "seed that requires grad": lambda a, t: a.grad(
        vector(t), t["x"], torch.ones_like(t["x"], requires_grad=True), create_graph=True
    ),
    "seed of another precision": lambda a, t: a.grad(
        vector(t),
        t["x"],
        torch.ones(3, device=t["x"].device).to(
            torch.complex64 if t["x"].is_complex() else torch.float32
        ),
    ),
    "seed not contiguous": lambda a, t: a.grad(vector(t), t["w"], t["w"].detach()[:, 0]),
    "create_graph": lambda a, t: a.grad(real(t), t["x"], create_graph=True),
    "second order": lambda a, t: a.grad(
        a.grad(real(t), t["x"], create_graph=True)[0].abs().sum(), [t["x"], t["w"]]
    ),
    "third order": lambda a, t: a.grad(
        a.grad(
            a.grad(real(t), t["x"], create_graph=True)[0].abs().sum(), t["x"], create_graph=True
        )[0]
        .abs()
        .sum(),
        t["s"],
    ),
    "unused, allowed": lambda a, t: a.grad(real(t), [t["u"], t["x"]], allow_unused=True),
    "unused, zeros": lambda a, t: a.grad(real(t), [t["u"], t["x"]], materialize_grads=True),
    "unused, zeros with a graph": lambda a, t: a.grad(
        real(t), [t["u"]], create_graph=True, materialize_grads=True, allow_unused=True
    ),
    "unused, dict": lambda a, t: a.grad(real(t), {"u": t["u"]}, allow_unused=True),
    "batched": lambda a, t: a.grad(
        vector(t), [t["x"], t["s"]], torch.eye(3).to(t["x"]), is_grads_batched=True
    ),
    "batched, two outputs": lambda a, t: a.grad(
        [vector(t), t["w"].sum()],
        [t["x"], t["w"]],
        [torch.eye(3).to(t["x"]), torch.arange(3).to(t["x"])],
        is_grads_batched=True,
    ),
    "batched, unused": lambda a, t: a.grad(
        vector(t),
        [t["u"], t["x"]],
        torch.eye(3).to(t["x"]),
        is_grads_batched=True,
        allow_unused=True,
    ),
    "batched, create_graph": lambda a, t: a.grad(
        vector(t), t["x"], torch.eye(3).to(t["x"]), is_grads_batched=True, create_graph=True
    ),
    "intermediate input": lambda a, t: a.grad((v := vector(t)) * 1, v, torch.ones_like(v)),
    "output is the input": lambda a, t: a.grad(t["x"], t["x"], torch.ones_like(t["x"])),
    "view": lambda a, t: a.grad(t["w"].t()[1:].abs().sum(), t["w"]),
    "output edge": lambda a, t: a.grad(edge(real(t)), [t["x"], t["w"]]),
    "output edge with seed": lambda a, t: a.grad(edge(vector(t)), t["x"], torch.ones_like(t["x"])),
    "input edge": lambda a, t: a.grad(real(t), edge(t["x"])),
    "edges and tensors": lambda a, t: a.grad(
        [edge(vector(t)), real(t)], [edge(t["w"]), t["x"]], [torch.ones_like(t["x"]), None]
    ),
    "edges, unused zeros for tensors": lambda a, t: a.grad(
        edge(real(t)), [t["u"], edge(t["x"])], materialize_grads=True
    ),
    "edge, batched": lambda a, t: a.grad(
        edge(vector(t)), t["x"], torch.eye(3).to(t["x"]), is_grads_batched=True
    ),
    "output 1 of unbind": lambda a, t: a.grad(t["w"].unbind()[1].abs().sum(), edge(t["w"])),
    "integers for flags": lambda a, t: a.grad(real(t), t["x"], retain_graph=1, create_graph=0),
}

BACKWARD: dict[str, Case] = {
    "scalar": lambda a, t: a.backward(real(t)),
    "list": lambda a, t: a.backward([real(t), t["u"].abs().sum()]),
    "empty list": lambda a, t: a.backward([]),
    "seed": lambda a, t: a.backward(vector(t), torch.ones_like(t["x"])),
    "twice": lambda a, t: (a.backward(real(t)), a.backward(real(t))),
    "retain_graph": lambda a, t: (r := real(t), a.backward(r, None, True), a.backward(r))[1:],
    "inputs tensor": lambda a, t: a.backward(real(t), inputs=t["x"]),
    "inputs list": lambda a, t: a.backward(real(t), inputs=[t["x"], t["s"]]),
    "inputs dict": lambda a, t: a.backward(real(t), inputs={"w": t["w"]}),
    "inputs edge": lambda a, t: a.backward(real(t), inputs=[edge(t["w"])]),
    "inputs edge and tensor": lambda a, t: a.backward(real(t), inputs=[edge(t["w"]), t["s"]]),
    "inputs unused": lambda a, t: a.backward(real(t), inputs=[t["u"], t["x"]]),
    "root edge": lambda a, t: a.backward(edge(real(t))),
    "root edge with seed": lambda a, t: a.backward(edge(vector(t)), torch.ones_like(t["x"])),
    "not a leaf": lambda a, t: (v := vector(t), a.backward(v.abs().sum(), inputs=v), v.grad)[2],
    "not a leaf, with edge": lambda a, t: (
        v := vector(t),
        a.backward(v.abs().sum(), inputs=[v, edge(t["x"])]),
        v.grad,
    )[2],
}


def run(case: Case, api: Any, leaves: Leaves) -> tuple[Any, Leaves]:
    fresh = {name: t.detach().clone().requires_grad_() for name, t in leaves.items()}
    return case(api, fresh), {name: t.grad for name, t in fresh.items()}


def cases(table: dict[str, Case]) -> list[Any]:
    new = pytest.mark.skipif(not TORCH_TAKES_DICTS, reason="this torch takes no dict")
    return [pytest.param(f, id=n, marks=[new] if "dict" in n else []) for n, f in table.items()]


@pytest.mark.parametrize("case", cases(GRAD))
def test_grad_equals_torch_bit_for_bit(case: Case, leaves: Leaves) -> None:
    ours, accumulated = run(case, libgrad, leaves)
    assert_same(ours, run(case, torch.autograd, leaves)[0])
    assert set(accumulated.values()) == {None}, "grad must not touch .grad"


@pytest.mark.parametrize("case", cases(BACKWARD))
def test_backward_equals_torch_bit_for_bit(case: Case, leaves: Leaves) -> None:
    assert_same(run(case, libgrad, leaves), run(case, torch.autograd, leaves))


def test_backward_with_create_graph_makes_grads_with_a_graph() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cycle; LibTorch says it once a process
        libgrad.backward(x**3, create_graph=True)
    assert x.grad.grad_fn is not None
    assert libgrad.grad(x.grad, x)[0].item() == 12.0
    x.grad = None  # or the cycle of x and its gradient stays


def test_gradients_accumulate_in_place_until_they_are_cleared() -> None:
    x = torch.ones(2, requires_grad=True)
    libgrad.backward(x.sum())
    first = x.grad
    libgrad.backward(x.sum())
    assert x.grad is first
    assert x.grad.tolist() == [2.0, 2.0]
    x.grad = None
    libgrad.backward(x.sum())
    assert x.grad.tolist() == [1.0, 1.0]


def test_retain_graph_defaults_to_create_graph() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**2
    libgrad.grad(y, x, create_graph=True)
    libgrad.grad(y, x)
    with pytest.raises(RuntimeError, match="second time"):
        libgrad.grad(y, x)
    y = x**2
    libgrad.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        libgrad.grad(y, x)


def test_result_is_the_seed_when_the_output_is_the_input() -> None:
    x, seed = torch.ones(3, requires_grad=True), torch.ones(3)
    assert libgrad.grad(x, x, seed)[0] is seed
    assert torch.autograd.grad(x, x, seed)[0] is seed


def test_a_batch_of_no_vectors_gives_no_gradients() -> None:
    x = torch.ones(2, requires_grad=True)
    (g,) = libgrad.grad(x * x, x, torch.ones(0, 2), is_grads_batched=True)
    assert g.shape == (0, 2)  # torch stumbles over the missing first vector


def test_a_dict_that_a_hook_changes_gives_the_keys_of_the_call() -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    inputs = {"x": x}
    y.register_hook(lambda _: inputs.clear())
    assert list(libgrad.grad(y.sum(), inputs)) == ["x"]


def test_truthy_flags_count_where_torch_counts_them() -> None:
    x = torch.ones(2, requires_grad=True)
    for flag in (None, 0, "", 1, "yes"):
        seed = torch.ones(3, 2) if flag else torch.ones(2)
        options = {"grad_outputs": seed, "is_grads_batched": flag, "only_inputs": "yes"}
        assert_same(libgrad.grad(x * x, x, **options), torch.autograd.grad(x * x, x, **options))


def test_the_function_of_the_demo_is_right_for_complex_input() -> None:
    x = torch.tensor([1 + 2j, 0.5 - 1j], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(libgrad._C._demo.swish, (x, 1.5))


def test_integer_seeds_are_taken_as_torch_takes_them() -> None:
    x = torch.ones(3, requires_grad=True)
    seed = torch.arange(3)
    assert_same(libgrad.grad(x * 2, x, seed), torch.autograd.grad(x * 2, x, seed))


def test_the_ones_that_stand_for_a_missing_seed_are_never_shared() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    first = libgrad.grad(x, x)[0]
    first.fill_(7)
    assert libgrad.grad(x, x)[0].item() == 1.0


def test_deprecated_arguments_warn_at_the_callers_line() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    with pytest.warns(FutureWarning, match="only_inputs") as caught:
        libgrad.grad(x * x, x, only_inputs=False)
    assert caught[0].filename == __file__
    with pytest.warns(FutureWarning, match="grad_tensors") as caught:
        libgrad.backward(x * x, grad_variables=torch.tensor(3.0))
    assert caught[0].filename == __file__
    assert x.grad.item() == 12.0
    with (
        pytest.warns(FutureWarning),
        pytest.raises(RuntimeError, match="`grad_variables`"),
    ):
        libgrad.backward(x * x, x, grad_variables=x)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_sparse_and_nested_tensors_go_through() -> None:
    x = torch.arange(3.0, requires_grad=True)
    seed = torch.ones(3).to_sparse()
    assert_same(libgrad.grad(x, x, seed), torch.autograd.grad(x, x, seed))
    parts = [torch.randn(2, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)]
    nested = torch.nested.as_nested_tensor(parts, layout=torch.jagged) * 2
    ours = libgrad.grad(nested, parts, torch.ones_like(nested))
    nested = torch.nested.as_nested_tensor(parts, layout=torch.jagged) * 2
    one = torch.nested.nested_tensor([torch.ones(1)], requires_grad=True)
    assert libgrad.grad(one * 2, one)[0].unbind()[0].item() == 2.0
    assert_same(ours, torch.autograd.grad(nested, parts, torch.ones_like(nested)))

"""`node`: each node of torch's graph as a value, beside torch's own grad_fn."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import libgrad

swish = libgrad._C._demo.swish


class Twice(torch.autograd.Function):
    """A Function written in Python."""

    @staticmethod
    def forward(ctx, x):
        return x * 2, x + 1

    @staticmethod
    def backward(ctx, a, b):
        return 2 * a + b


def in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[0].mul_(2)
    return y


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "add": lambda x: x + 1,
    "two inputs": lambda x: x * x.exp(),
    "sum": lambda x: x.sum(),
    "matmul": lambda x: x @ x.T,
    "second of unbind": lambda x: x.unbind(0)[1],
    "view": lambda x: x.view(-1),
    "view of a view": lambda x: (x * 1).T[0],
    "in place on a view": in_place,
    "view after in place": lambda x: in_place(x)[0],
    "in place": lambda x: x.clone().exp_(),
    "Python Function": lambda x: Twice.apply(x)[1],
    "other dtype": lambda x: x.to(torch.bfloat16),
    "complex": lambda x: torch.complex(x, x),
    "some inputs need none": lambda x: torch.addmm(torch.ones(2, 2), x, torch.ones(3, 2)),
    "many inputs": lambda x: torch.cat([x, torch.ones(1, 3), x]),
    "sparse": lambda x: x.to_sparse(),
    "empty": lambda x: x[:0],
    "module": lambda x: nn.LayerNorm(3)(x),
}

each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(2, 3, requires_grad=True)


def name_of(grad_fn: Any) -> str:
    return grad_fn.name().removeprefix("torch::autograd::")


@each_operation
def test_node_says_what_grad_fn_says(x, operation):
    y = operation(x)
    node, grad_fn = libgrad.node(y), y.grad_fn
    assert node.name == name_of(grad_fn) == type(grad_fn).__name__
    assert node.sequence_nr == grad_fn._sequence_nr()
    assert node.variable is None
    theirs = [(torch.Size(m.shape), m.dtype, m.device) for m in grad_fn._input_metadata]
    assert [(m.shape, m.dtype, m.device) for m in node.inputs] == theirs
    assert all(type(m.shape) is torch.Size for m in node.inputs)
    assert node.inputs[y.output_nr].shape == y.shape


@each_operation
def test_walk_meets_the_nodes_and_edges_that_torchs_walk_meets(x, operation):
    y = operation(x)
    assert walk_ours(libgrad.node(y)) == walk_torchs(y.grad_fn)


def walk(root: Any, key: Callable[[Any], Any], label: Any, edges: Any) -> list[Any]:
    """Return (label, edges) of every node, breadth first; edges as (number of node, input)."""
    numbers, order = {key(root): 0}, [root]
    for node in order:
        for child, _ in edges(node):
            if child is not None and key(child) not in numbers:
                numbers[key(child)] = len(order)
                order.append(child)
    return [
        (label(n), [(c if c is None else numbers[key(c)], i) for c, i in edges(n)]) for n in order
    ]


def walk_ours(root: libgrad.Node) -> list[Any]:
    return walk(root, lambda n: n, lambda n: n.name, lambda n: n.next)


def walk_torchs(root: Any) -> list[Any]:
    kept = []  # torch makes a new object for a C++ node whenever it is asked for

    def edges(grad_fn: Any) -> Any:
        kept.append(grad_fn)
        return grad_fn.next_functions

    return walk(root, lambda n: n, name_of, edges)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(2, 4)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return h


MODELS: dict[str, Callable[[], Tensor]] = {
    "MLP": lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))(torch.ones(2, 4)),
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )(torch.rand(2, 1, 8, 8)),
    "attention": lambda: nn.MultiheadAttention(4, 2)(*[torch.rand(3, 2, 4)] * 3)[0],
    "transformer": lambda: nn.TransformerEncoderLayer(4, 2, 8)(torch.rand(3, 2, 4)),
    "GRU cells": lambda: Recurrent()(torch.rand(2, 5, 4)),
    "LSTM": lambda: nn.LSTM(4, 4, 2)(torch.rand(3, 2, 4))[0],
    "embedding": lambda: nn.EmbeddingBag(5, 4)(torch.tensor([[0, 2], [1, 1]])).sum(),
    "double backward": lambda: (
        torch.autograd.grad(
            nn.Linear(2, 1)(torch.ones(3, 2, requires_grad=True)).exp().sum(),
            leaf := torch.ones(2, requires_grad=True),
            create_graph=True,
            materialize_grads=True,
        )[0]
        + leaf.sin()
    ),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_graph_of_a_model_is_torchs(model):
    y = model()
    ours = walk_ours(libgrad.node(y))
    assert ours == walk_torchs(y.grad_fn)
    assert len(ours) > 2


def test_leaf_has_the_node_that_accumulates_into_it(x):
    node = libgrad.node(x)
    assert node.name == "AccumulateGrad"
    assert node.next == ()
    assert node.variable is x
    assert node.sequence_nr == 2**64 - 1
    assert [(m.shape, m.dtype) for m in node.inputs] == [((2, 3), torch.float32)]
    assert libgrad.node(x * 2).next[0] == (node, 0)
    parameter = nn.Parameter(torch.ones(2))
    assert libgrad.node(parameter).variable is parameter
    assert type(libgrad.node(parameter).variable) is nn.Parameter


def test_cpp_function_is_called_as_a_python_one(x):
    node = libgrad.node(swish(x))
    assert node.name == "SwishBackward"
    assert [n.variable is x for n, _ in node.next] == [True]
    assert libgrad.node(Twice.apply(x)[0]).name == "TwiceBackward"


def test_inputs_of_a_node_with_many_outputs_are_all_there():
    x = torch.ones(3, 2, dtype=torch.complex64, requires_grad=True)
    first, *_, last = x.unbind(0)
    assert libgrad.node(first) == libgrad.node(last)
    assert [(m.shape, m.dtype) for m in libgrad.node(last).inputs] == [((2,), torch.complex64)] * 3
    assert libgrad.node(last * 2).next[0] == (libgrad.node(first), 2)
    values, _ = torch.rand(3, 2, requires_grad=True).max(0)
    assert len(libgrad.node(values).inputs) == 1
    singular = torch.linalg.svd(torch.rand(3, 2, requires_grad=True), full_matrices=False)
    assert [m.shape for m in libgrad.node(singular.S).inputs] == [(3, 2), (2,), (2, 2)]


def test_device_of_an_input_is_the_tensors(device):
    y = torch.ones(2, device=device, requires_grad=True) * 2
    assert libgrad.node(y).inputs[0].device == y.device


def test_gradient_that_is_never_asked_for_is_none():
    class Second(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, grad):
            return None, grad

    a, b = torch.ones(2), torch.ones(2, requires_grad=True)
    assert libgrad.node(Second.apply(a, b)).next == ((None, 0), (libgrad.node(b), 0))


def test_nodes_are_equal_and_hashed_by_what_they_stand_for(x):
    y, z = x * 2, x * 2
    node = libgrad.node(y)
    assert node == libgrad.node(y)
    assert node is not libgrad.node(y)
    assert hash(node) == hash(libgrad.node(y)) == hash(libgrad.node(y.view_as(y)).next[0][0])
    assert node != libgrad.node(z)
    assert libgrad.node(y).next[0][0] == libgrad.node(z).next[0][0] == libgrad.node(x)
    assert len({libgrad.node(t) for t in (x, y, z, y, x)}) == 3
    assert node != "node"
    assert node != y.grad_fn
    assert (node == None) is False  # noqa: E711
    with pytest.raises(TypeError):
        _ = node < node


def test_node_changes_with_its_tensor_in_place_and_the_old_one_stays(x):
    y = x * 2
    before = libgrad.node(y)
    y.exp_()
    assert libgrad.node(y).name == "ExpBackward0"
    assert libgrad.node(y).next == ((before, 0),)


def test_node_outlives_its_tensors():
    leaf = torch.ones(2, requires_grad=True)
    node = libgrad.node((leaf * 2).exp())
    kept = weakref.ref(leaf)
    del leaf
    gc.collect()
    assert [node.name, node.next[0][0].name] == ["ExpBackward0", "MulBackward0"]
    accumulate = node.next[0][0].next[0][0]
    assert accumulate.variable.tolist() == [1, 1]
    assert accumulate.variable is kept()
    del node, accumulate
    gc.collect()
    assert kept() is None


def test_graph_freed_by_backward_can_still_be_walked(x):
    y = (x * x).exp().sum()
    before = walk_ours(libgrad.node(y))
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert walk_ours(libgrad.node(y)) == before


def test_reprs_are_for_reading(x):
    assert repr(libgrad.node(x)) == "Node(AccumulateGrad, next=[])"
    y = torch.addmm(torch.ones(2, 2), x, torch.ones(3, 2)) + x[0, 0]
    assert repr(libgrad.node(y)) == "Node(AddBackward0, next=[AddmmBackward0, SelectBackward0])"
    addmm = libgrad.node(y).next[0][0]
    assert repr(addmm) == "Node(AddmmBackward0, next=[None, AccumulateGrad, None])"
    assert repr(addmm.inputs) == "(InputMetadata(shape=[2, 2], dtype=torch.float32, device=cpu),)"
    assert libgrad.Node.__module__ == "libgrad"


@pytest.mark.parametrize("wrong", [None, 1.0, "x", [torch.ones(1, requires_grad=True)], torch.add])
def test_what_is_no_tensor_is_a_type_error_that_names_its_type(wrong):
    with pytest.raises(TypeError, match=f"^node: .*must be a tensor.*{type(wrong).__name__}"):
        libgrad.node(wrong)


def test_tensor_without_a_graph_is_an_error_that_says_what_to_do(x):
    with torch.inference_mode():
        inference = x * 2
    with torch.no_grad():
        unrecorded = x * 2
    for tensor in (torch.ones(2, 3), x.detach(), unrecorded, inference, x.argmax()):
        with pytest.raises(RuntimeError, match=r"does not require grad.*requires_grad=True"):
            libgrad.node(tensor)
    with pytest.raises(RuntimeError, match=r"float32 \[2, 3\] on cpu"):
        libgrad.node(x.detach())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensor_has_a_node_whose_shape_is_not_known():
    parts = [torch.ones(n) for n in (2, 3)]
    nested = torch.nested.nested_tensor(parts, requires_grad=True) * 2
    assert libgrad.node(nested).name == name_of(nested.grad_fn)
    assert libgrad.node(nested).inputs == (None,)


def test_members_cannot_be_set(x):
    for name in ("name", "next", "sequence_nr", "inputs", "variable", "other"):
        with pytest.raises(AttributeError):
            setattr(libgrad.node(x), name, None)
    with pytest.raises(TypeError):
        libgrad.Node()

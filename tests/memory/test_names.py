"""`name`: gradients of models that name their tensors, what is told of names, and bad ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from graph.models import MODELS, loss_of
from memory.counted_operators import grads, leaf, same
from torch import nn

import libgrad


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.norm = nn.LayerNorm(16)
        self.out = nn.Linear(16, 16)

    def forward(self, x):
        q, k, v = (
            t.view(*x.shape[:2], 2, 8).transpose(1, 2)
            for t in self.qkv(libgrad.name(self.norm(x), "norm")).chunk(3, -1)
        )
        scores = libgrad.name(torch.softmax(q @ k.mT / 8**0.5, -1), "scores")
        mixed = libgrad.name(F.scaled_dot_product_attention(q, k, v), "sdpa")
        y = F.dropout(scores, 0.1) @ v + mixed
        return x + self.out(y.transpose(1, 2).reshape(x.shape))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("save", [("norm",), ("scores",), ("sdpa",), ("norm", "scores", "sdpa")])
def test_gradients_of_attention_are_the_same_bits(save, autocast):
    torch.manual_seed(0)
    module = Attention()
    x = torch.rand(2, 5, 16)
    params = list(module.parameters())

    def run(function):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = function(x).square().sum()
        torch.manual_seed(2)
        return torch.autograd.grad(loss, params)

    assert same(run(lambda x: libgrad.checkpoint(module, x, save=save)), run(module))


@pytest.mark.parametrize("name", MODELS)
def test_outputs_of_all_modules_can_be_kept(name):
    make, data = MODELS[name]
    torch.manual_seed(0)
    module, x = make(), data()
    params = list(module.parameters())
    torch.manual_seed(1)
    expected = torch.autograd.grad(loss_of(module, x), params, allow_unused=True)
    written = name in ("convolutions", "in place", "views")  # to outputs, in place

    def keep(part, args, output):
        if isinstance(output, torch.Tensor):
            libgrad.name(output.clone() if written else output, "output")

    for part in module.modules():
        part.register_forward_hook(keep)
    torch.manual_seed(1)
    loss = libgrad.checkpoint(loss_of, module, x, save=("output",))
    torch.manual_seed(2)
    for got, wanted in zip(
        torch.autograd.grad(loss, params, allow_unused=True), expected, strict=True
    ):
        assert (got is None and wanted is None) or torch.equal(got, wanted)


def test_name_returns_the_tensor_itself():
    for tensor in (leaf(), torch.ones(2), torch.ones(2, dtype=torch.int64), leaf() * 2):
        assert libgrad.name(tensor, "t") is tensor
    sparse = torch.eye(3).to_sparse()
    assert libgrad.name(sparse, "t") is sparse


def test_hooks_and_backward_do_not_see_names():
    x = leaf()
    y = libgrad.name(x.sin(), "y")
    libgrad.name(y, "z")
    seen = []
    y.grad_fn.register_prehook(lambda g: seen.append(g[0]))
    assert libgrad.graph(y).nodes[0].label == "z"
    assert libgrad.graph(y).nodes[0].hooks == 1
    y.sum().backward()
    assert torch.equal(x.grad, x.detach().cos())
    assert len(seen) == 1


def test_compile_leaves_names_out():
    compiled = torch.compile(
        lambda x: libgrad.name(x.sin(), "s").exp(), backend="aot_eager", fullgraph=True
    )
    x = leaf()
    assert same(grads(compiled, x), grads(lambda x: x.sin().exp(), x))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((None, "a"), TypeError, "tensor must be a tensor, but is NoneType"),
        ((torch.ones(1), 3), TypeError, "name must be a string, but is int"),
        ((torch.ones(1), ""), ValueError, "must not be empty"),
    ],
)
def test_bad_names(arguments, error, text):
    with pytest.raises(error, match=text):
        libgrad.name(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"save": "scores"}, TypeError, "save must be a tuple of names.*'scores'"),
        ({"offload": (1,)}, TypeError, "offload must be a tuple of names"),
        ({"save": None}, TypeError, "save must be a tuple of names.*None"),
        ({"save": ("a", "b"), "offload": ("b",)}, ValueError, "'b' is in save and in offload"),
        ({"save": ("a",), "use_reentrant": True}, ValueError, "use_reentrant=True"),
        ({"save": ("a",), "context_fn": lambda: (None, None)}, ValueError, "context_fn"),
        ({"offload": ("a",), "debug": True}, ValueError, "debug=True"),
    ],
)
def test_bad_policies(options, error, text):
    with pytest.raises(error, match=text):
        libgrad.checkpoint(torch.sin, leaf(), **options)

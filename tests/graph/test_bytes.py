"""`graph`: its bytes are those that the allocator gives back."""

from __future__ import annotations

import gc

import pytest
import torch
from graph.models import MODELS, demo, loss_of
from torch import nn

import libgrad


@pytest.mark.parametrize("name", MODELS)
def test_exclusive_bytes_are_freed_with_the_graph(name):
    make, data = MODELS[name]
    model, x = make(), data()
    graphs = []
    loss_of(model, x).backward()  # gradients, and what is made once, are there
    gc.collect()
    freed = demo.freed_bytes(
        lambda: loss_of(model, x), lambda loss: graphs.append(libgrad.graph(loss, params=model))
    )
    (g,) = graphs
    assert freed > 10_000
    assert g.exclusive_nbytes == pytest.approx(freed, rel=0.01)
    assert g.exclusive_nbytes == sum(s.nbytes for s in g.storages if s.owner == "graph")
    assert g.nbytes == sum(s.nbytes for s in g.storages)


def test_what_somebody_else_holds_is_not_exclusive(device):
    x = torch.randn(1000, device=device, requires_grad=True)
    hidden = x.exp()
    y = (hidden * hidden).sum()
    assert [s.owner for s in libgrad.graph(y).storages] == ["other"]
    alias = hidden.detach()
    del hidden
    assert libgrad.graph(y).exclusive_nbytes == 0
    del alias
    g = libgrad.graph(y)
    assert (g.nbytes, g.exclusive_nbytes) == (4000, 4000)
    assert str(g.storages[0].device).startswith(device)


def test_storage_held_by_itself_is_not_exclusive():
    x = torch.randn(1000, requires_grad=True)
    y = x.exp()
    storage = y.untyped_storage()
    y = y.sum()
    assert libgrad.graph(y).exclusive_nbytes == 0
    del storage
    assert libgrad.graph(y).exclusive_nbytes == 4000


def test_python_object_that_nobody_has_does_not_count():
    x = torch.randn(1000, requires_grad=True)
    hidden = x.neg()
    y = hidden.sin().sum()
    assert libgrad.graph(y).exclusive_nbytes == 0
    del hidden
    assert libgrad.graph(y).exclusive_nbytes == 4000


def test_views_share_what_they_look_into():
    x = torch.randn(10, 100, requires_grad=True)
    base = x.exp()
    y = (base[0] * base[1].sin()).sum()
    del base
    g = libgrad.graph(y)
    assert (g.nbytes, len(g.storages)) == (4000 + 400, 2)
    assert g.exclusive_nbytes == g.nbytes
    node = next(node for node in g.nodes if node.name == "MulBackward0")
    assert [(s.nbytes, s.offset) for s in node.saved] == [(400, 0), (400, 0)]
    assert node.nbytes == 4400


def test_parameters_belong_to_their_leaves():
    layer = nn.Linear(8, 4, bias=False)
    g = libgrad.graph(layer(torch.randn(2, 8, requires_grad=True)).sum(), params=layer)
    weight = next(s for s in g.saved if s.leaf is not None)
    assert g.nodes[weight.leaf].leaf == "weight"
    assert g.storages[weight.storage].owner == "leaf"


def test_released_graph_holds_nothing():
    model, x = nn.Linear(8, 4), torch.randn(2, 8)
    loss = model(x).sin().sum()
    assert libgrad.graph(loss).nbytes > 0
    loss.backward()
    g = libgrad.graph(loss)
    assert (g.nbytes, g.exclusive_nbytes, len(g.storages)) == (0, 0, 0)
    assert {s.state for s in g.saved} <= {"released", "none"}

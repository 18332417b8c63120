"""`graph`: what it shows of tensors that hooks of C++ and Python packed."""

from __future__ import annotations

import gc

import pytest
import torch
from graph.models import Body, demo, loss_of

import libgrad


def test_a_snapshot_shows_what_hooks_made():
    x = torch.ones(300, requires_grad=True)
    with libgrad.compress(only=lambda op, tensor: op == "aten::exp"):
        y = (x.exp() * 2).sin().sum()
    graph = libgrad.graph(y)
    saved = {graph.nodes[s.node].name: s for s in graph.saved if s.dtype is not None}
    assert (saved["ExpBackward0"].dtype, saved["ExpBackward0"].nbytes) == (torch.bfloat16, 600)
    assert (saved["SinBackward0"].dtype, saved["SinBackward0"].nbytes) == (torch.float32, 1200)
    assert saved["ExpBackward0"].state == "packed"
    assert not any(s.stale for s in graph.saved)
    assert graph.exclusive_nbytes == 600 + 1200 + 8  # the 2


def test_a_snapshot_shows_what_hooks_inside_hooks_made():
    x = torch.ones(300, requires_grad=True)
    with libgrad.saved_tensors_hooks(torch.clone, lambda t: t), libgrad.compress(compose=True):
        y = x.exp().sum()
    [saved] = [s for s in libgrad.graph(y).saved if s.dtype is not None]
    assert (saved.dtype, saved.nbytes) == (torch.bfloat16, 600)


def test_what_a_hook_made_is_not_stale():
    x = torch.ones(3, requires_grad=True) * 1
    x.add_(1)
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda t: t):
        y = x.exp() * x
    assert not any(saved.stale for saved in libgrad.graph(y).saved)


def checkpointed(model, x):
    for _ in range(3):
        x = libgrad.checkpoint(lambda h: model.second(torch.tanh(model.first(h))).sin(), x)
    return x


def nested(model, x):
    return libgrad.checkpoint(lambda h: checkpointed(model, h).exp(), x * 2)


def compressed(model, x):
    with libgrad.compress():
        return model.second(model.first(x).exp()).sin()


def mixed(model, x):
    with libgrad.saved_tensors_hooks(torch.clone, lambda t: t), libgrad.compress(compose=True):
        return checkpointed(model, x)


@pytest.mark.parametrize("make", [checkpointed, nested, compressed, mixed])
def test_exclusive_bytes_are_freed_with_the_graph(make):
    model, x = Body(make), torch.randn(128, 64)
    graphs = []
    loss_of(model, x).backward()
    gc.collect()
    freed = demo.freed_bytes(
        lambda: loss_of(model, x), lambda loss: graphs.append(libgrad.graph(loss, params=model))
    )
    assert freed > 10_000
    assert graphs[0].exclusive_nbytes == pytest.approx(freed, rel=0.01)


def test_inputs_of_a_checkpoint_are_shown():
    x = torch.ones(300, requires_grad=True)
    y = libgrad.checkpoint(lambda t: t.exp().sin(), x * 2)
    fields = [(s.field, s.index, s.nbytes) for s in libgrad.graph(y).saved if s.nbytes == 1200]
    assert fields == [("checkpoint.args", 0, 1200)]

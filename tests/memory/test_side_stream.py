"""Saved tensors that are copied to the host and back while an accelerator computes."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

import libgrad


@pytest.fixture
def model(device: str) -> nn.Module:
    layers = [nn.Sequential(nn.Linear(512, 512), nn.GELU()) for _ in range(8)]
    return nn.Sequential(*layers).to(device)


def grads_of(loss: Tensor, model: nn.Module, *, keep: bool = False) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [*model.parameters()], retain_graph=keep))


def test_gradients_are_the_same_bits_while_memory_is_used_again(model, device):
    x = torch.randn(4096, 512, device=device)
    expected = grads_of(model(x).square().mean(), model)
    for _ in range(3):
        with libgrad.save_on_cpu(pin_memory=True):
            loss = model(x.clone()).square().mean()
        for _ in range(20):
            torch.full((4096, 512), torch.nan, device=device)
        for keep in (True, False):
            found = grads_of(loss, model, keep=keep)
            for _ in range(20):
                torch.full((4096, 512), torch.nan, device=device)
            assert all(map(torch.equal, found, expected))


def test_other_threads_and_streams_have_them_back(model, device):
    x = torch.randn(4096, 512, device=device)
    expected = grads_of(model(x).square().mean(), model)
    with libgrad.save_on_cpu(pin_memory=True):
        loss = model(x).square().mean()
    found = []

    def backward() -> None:
        stream = torch.cuda.Stream() if device == "cuda" else None
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found.append([grad.cpu() for grad in grads_of(loss, model, keep=True)])

    threads = [threading.Thread(target=backward) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for grads in found:
        assert all(map(torch.equal, grads, [grad.cpu() for grad in expected]))


def test_a_tensor_that_is_copied_on_the_side_must_not_be_changed(device):
    x = torch.ones(4, device=device, requires_grad=True)
    with libgrad.save_on_cpu(pin_memory=True):
        y = x.exp()
    loss = y.sum()
    y.mul_(2)
    if device == "cpu":  # the copy was there at once
        assert torch.equal(torch.autograd.grad(loss, x)[0], x.exp())
    else:
        with pytest.raises(RuntimeError, match="was changed in place, maybe before it was copied"):
            torch.autograd.grad(loss, x)


def test_hooks_around_wait_for_what_they_look_at(device):
    x = torch.randn(2048, 2048, device=device, requires_grad=True)
    expected = torch.autograd.grad(x.exp().sum(), x)[0]
    with libgrad.save_on_disk("/tmp"), libgrad.save_on_cpu(pin_memory=True, compose=True):
        loss = x.exp().sum()
    assert torch.equal(torch.autograd.grad(loss, x)[0], expected)

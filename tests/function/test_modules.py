"""Real modules: every gradient equal to torch's, on every device."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from support.parity import assert_same
from torch import Tensor, nn

import libgrad


class LastStep(nn.Module):
    """An LSTM of two layers, reduced to its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0][:, -1]


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 3, groups=2),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "transformer encoder layer": (encoder, (3, 5, 8)),
    "LSTM": (LastStep, (3, 5, 6)),
    "conv net with batch norm": (conv_net, (2, 3, 10, 10)),
}


@pytest.fixture(params=MODULES.values(), ids=MODULES)
def twins(request: pytest.FixtureRequest, device: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Two modules with the same parameters, and an input for both."""
    make, shape = request.param
    module = make().to(device)
    return module, copy.deepcopy(module), torch.randn(shape, device=device)


def loss(module: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(1)  # the same dropout for both
    return module(x).pow(2).mean()


def test_backward_through_a_module(twins: tuple[nn.Module, nn.Module, Tensor]) -> None:
    ours, theirs, x = twins
    libgrad.backward(loss(ours, x))
    torch.autograd.backward(loss(theirs, x))
    assert_same([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def test_grad_of_a_dict_of_parameters(twins: tuple[nn.Module, nn.Module, Tensor]) -> None:
    ours, theirs, x = twins
    named = dict(theirs.named_parameters())
    expected = torch.autograd.grad(loss(theirs, x), list(named.values()))
    assert_same(
        libgrad.grad(loss(ours, x), dict(ours.named_parameters())),
        dict(zip(named, expected, strict=True)),
    )


def test_training_keeps_the_parameters_equal(twins: tuple[nn.Module, nn.Module, Tensor]) -> None:
    for module, backward in zip(twins, (libgrad.backward, torch.autograd.backward), strict=False):
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
        for _ in range(5):
            optimizer.zero_grad()
            backward(loss(module, twins[2]))
            optimizer.step()
    assert_same(list(twins[0].parameters()), list(twins[1].parameters()))


def test_autocast_and_checkpoint(device: str) -> None:
    from torch.utils.checkpoint import checkpoint

    module, x = conv_net().to(device).train(), torch.randn(2, 3, 10, 10, device=device)
    grads = []
    for api in (libgrad, torch.autograd):
        twin = copy.deepcopy(module)
        with torch.autocast(device, dtype=torch.bfloat16):
            y = checkpoint(twin, x, use_reentrant=False).float().pow(2).mean()
        grads.append(api.grad(y, list(twin.parameters())))
    assert_same(*grads)

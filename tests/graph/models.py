"""Models whose graphs the tests look at: small, of every kind."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import libgrad

demo = libgrad._C._demo


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int, inplace: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        y += x
        return self.relu(y)


class Body(nn.Module):
    """Two linear layers, and `function` of both and the input."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Keep(torch.autograd.Function):
    """A Function of Python that saves a tensor and puts another one on ctx."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x * 2)
        ctx.kept = x + 1
        ctx.number = 3
        return x * 3

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.number


def convolutions(inplace: bool) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 7, stride=2, padding=3), nn.BatchNorm2d(8), nn.ReLU(inplace)),
        *(nn.MaxPool2d(2), Block(8, inplace), Block(8, inplace)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
    )


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 128), nn.Tanh()),
        *(nn.Linear(128, 10), nn.LogSoftmax(-1)),
    )


def checkpoints(model: nn.Module, x: Tensor) -> Tensor:
    def segment(h):
        return model.second(torch.tanh(model.first(h))).sin()

    for _ in range(3):
        x = checkpoint(segment, x, use_reentrant=False)
    return x


def views(model: nn.Module, x: Tensor) -> Tensor:
    y = model.first(x)
    y.view(-1, 8)[:, :4].relu_()
    y = y.clone()
    y[0].mul_(2)
    return F.relu(y, inplace=True).t().exp()[1:]


def packed(model: nn.Module, x: Tensor) -> Tensor:
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.float())
    with hooks:
        return model.first(x).exp().sin()


def packed_in_tuples(model: nn.Module, x: Tensor) -> Tensor:
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda t: (t.dtype, t.bfloat16()), lambda pack: pack[1].to(pack[0])
    )
    with hooks:
        return model.first(x).exp().sin()


rows = lambda: torch.randn(128, 64)
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (mlp, rows),
    "convolutions": (lambda: convolutions(False), lambda: torch.randn(4, 3, 32, 32)),
    "in place": (lambda: convolutions(True), lambda: torch.randn(4, 3, 32, 32)),
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True),
        lambda: torch.randn(4, 16, 32),
    ),
    "lstm": (lambda: nn.LSTM(32, 32, 2, batch_first=True), lambda: torch.randn(8, 20, 32)),
    "checkpoints": (lambda: Body(checkpoints), rows),
    "C++ Functions": (
        lambda: Body(lambda model, x: demo.swish(demo.square(model.first(x))) * 2),
        rows,
    ),
    "Python Functions": (lambda: Body(lambda model, x: Keep.apply(model.first(x))), rows),
    "views": (lambda: Body(views), rows),
    "hooks": (lambda: Body(packed), rows),
    "hooks with tuples": (lambda: Body(packed_in_tuples), rows),
}


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    """The sum of what the model makes of x."""
    y = model(x)
    return (y[0] if isinstance(y, tuple) else y).sum()

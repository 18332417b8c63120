"""Graphs to draw, of all kinds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import libgrad

swish = libgrad._C._demo.swish
MARKUP = "</script><b x='\"&amp;\"'>]]>\\N \u202e é\0\n"


def leaf() -> libgrad.Graph:
    return libgrad.graph(torch.ones(2, 3, requires_grad=True))


def mlp() -> libgrad.Graph:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return libgrad.graph(model(torch.ones(3, 4)).mean(), params=model)


def stale() -> libgrad.Graph:
    x = torch.ones(5, requires_grad=True)
    y = x.exp()
    z = y.sin()
    y.detach().mul_(2)
    return libgrad.graph(z, z * y, params={"x": x})


def kinds() -> libgrad.Graph:
    class Halve(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x / 2

        @staticmethod
        def backward(ctx, grad):
            return grad / 2

    x = torch.ones(2, requires_grad=True)
    y = Halve.apply(swish(x)).clone()
    y[0].mul_(3)
    return libgrad.graph(y.to(torch.bfloat16).sum(), params={"x": x})


def released() -> libgrad.Graph:
    x = torch.ones(2, requires_grad=True)
    y = (x * x).exp()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        z = x.sin()
    y.sum().backward()
    return libgrad.graph(y + z, params={"x": x})


def names() -> libgrad.Graph:
    def attention(q, k):
        scores = libgrad.name(torch.softmax(q @ k, -1), "attn_scores")
        return libgrad.name(scores.sin(), "mixed")

    q = libgrad.name(torch.ones(3, 3, requires_grad=True), "q")
    k = libgrad.name(torch.ones(3, 3), "mask") * q
    return libgrad.graph(
        attention(q, k), libgrad.checkpoint(attention, q, k, save=("attn_scores",))
    )


def layers(count: int = 12) -> libgrad.Graph:
    blocks = [nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.LayerNorm(4)) for _ in range(count)]
    model = nn.Sequential(nn.Linear(2, 4), *blocks)
    return libgrad.graph(model(torch.ones(3, 2)).sum(), params=model)


def encoder() -> libgrad.Graph:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return libgrad.graph(model(torch.ones(2, 3, 8)).sum(), params=model)


def markup() -> libgrad.Graph:
    x = torch.ones(2, requires_grad=True)
    return libgrad.graph(x.exp(), params={MARKUP: x})


def wide() -> libgrad.Graph:
    leaves = {f"p{i}": torch.ones(3, requires_grad=True) for i in range(30)}
    return libgrad.graph(torch.stack(list(leaves.values())), params=leaves)


GRAPHS: dict[str, Callable[[], libgrad.Graph]] = {
    "leaf": leaf,
    "mlp": mlp,
    "stale": stale,
    "kinds": kinds,
    "released": released,
    "names": names,
    "layers": layers,
    "encoder": encoder,
    "markup": markup,
    "wide": wide,
}

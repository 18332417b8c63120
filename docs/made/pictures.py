"""Draw the pictures of docs/: ``python docs/made/pictures.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import libgrad


class Attention(nn.Module):
    """Causal self-attention, of plain operators."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector for each of `x`, from it and those before it."""
        batch, length, width = x.shape
        size = width // self.heads
        parts = self.qkv(x).split(width, 2)
        q, k, v = (p.view(batch, length, self.heads, size).transpose(1, 2) for p in parts)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = (q @ k.transpose(2, 3) / size**0.5).masked_fill(later, float("-inf")).softmax(3)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention and two linear layers, each behind a norm and beside a skip connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` and what both parts add to it."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A language model of the size of GPT-2; the last layer is the embedding's transpose."""

    def __init__(self, layers: int = 12, width: int = 768, heads: int = 12) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50257, width)
        self.positions = nn.Embedding(1024, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a score of each token, to follow each of `tokens`."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


def gpt2() -> libgrad.Graph:
    """Return the graph behind one loss, without memory for it: on the meta device."""
    with torch.device("meta"):
        model = Transformer()
        tokens = torch.zeros(1, 1024, dtype=torch.long)
        loss = F.cross_entropy(model(tokens)[0], tokens[0])
    return libgrad.graph(loss, params=model)


def block() -> libgrad.Graph:
    """Return the graph behind one layer of torch's own."""
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True)
    return libgrad.graph(layer(torch.ones(2, 10, 64)).sum(), params=layer)


def stale() -> libgrad.Graph:
    """Return the graph of a loss that backward will refuse: what sin saved was written to."""
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    loss = (y.sin() * x).sum()
    y.detach().mul_(2)
    return libgrad.graph(loss, params={"x": x})


def train(steps: int) -> str:
    """Return a picture of what a sum of losses, meant for a log, keeps."""
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    loss_sum = torch.zeros(())
    for _ in range(steps):
        loss = model(torch.ones(32, 64)).square().mean()
        loss.backward(retain_graph=True)
        loss_sum += loss
    g = libgrad.graph(loss_sum, params=model)
    holder = g.holders()[0]
    return g.to_svg(fold="repeats", title=f"Kept by {holder.path}, {holder.where.split(',')[0]}")


TITLE = "A language model of the size of GPT-2"
PICTURES: dict[str, Callable[[], str]] = {
    "block.svg": lambda: block().to_svg(title="nn.TransformerEncoderLayer"),
    "gpt2.svg": lambda: gpt2().to_svg(fold="repeats", title=TITLE),
    "gpt2.html": lambda: gpt2().to_html(fold="repeats", max_nodes=0, title=TITLE),
    "leak.svg": lambda: train(50),
    "stale.svg": lambda: stale().to_svg(title="Written to since it was saved"),
}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (Path(__file__).parent / name).write_text(draw(), encoding="utf-8")

"""Operators that count their runs, and what tests of names share."""

from __future__ import annotations

from collections import Counter

import torch

runs: Counter[str] = Counter()  # of the kernels of the operators below


@torch.library.custom_op("libgrad_names::square", mutates_args=())
def square(x: torch.Tensor) -> torch.Tensor:
    runs["square"] += 1
    return x * x


@torch.library.custom_op("libgrad_names::split", mutates_args=())
def split(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    runs["split"] += 1
    return x * 2, x * 3


@torch.library.custom_op("libgrad_names::noise", mutates_args=())
def noise(x: torch.Tensor) -> torch.Tensor:
    runs["noise"] += 1
    return x * torch.rand_like(x)


@torch.library.custom_op("libgrad_names::parts", mutates_args=())
def parts(x: torch.Tensor) -> list[torch.Tensor]:
    runs["parts"] += 1
    return [x + 1, x + 2]


square.register_autograd(
    lambda ctx, g: 2 * g * ctx.saved_tensors[0],
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
split.register_autograd(lambda ctx, g, h: 2 * g + 3 * h)
noise.register_autograd(lambda ctx, g: g)
parts.register_autograd(lambda ctx, g: g[0] + g[1])


def leaf(*shape: int) -> torch.Tensor:
    return torch.rand(*(shape or (6,)), requires_grad=True)


def grads(function, *inputs):
    return torch.autograd.grad(function(*inputs).sum(), inputs)


def same(mine, theirs):
    return all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))

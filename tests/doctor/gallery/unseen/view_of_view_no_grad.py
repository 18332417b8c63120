"""A view of a view of a view is shifted under no_grad, two functions away from its base."""

import torch
from torch import nn


def corner(grid):
    return grid.view(2, 2, 6).transpose(1, 2)[1:]


@torch.no_grad()
def shift(grid):
    part = corner(grid)
    part.narrow(1, 2, 3).sub_(1.0)  # writes


EXPECT = {
    "node": "ExpBackward0",
    "field": "result",
    "shape": [4, 6],
    "dtype": "float32",
    "writers": ["aten::sub_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::exp",
    "module": None,
}


def run():
    torch.manual_seed(0)
    layer = nn.Linear(3, 6)
    grid = torch.exp(layer(torch.randn(4, 3)))  # saves
    shift(grid)
    grid.sum().backward()


if __name__ == "__main__":
    run()

"""Iterating over a detached result gives views of it; each is divided by its own sum."""

import torch
from torch import nn

EXPECT = {
    "node": "ExpBackward0",
    "field": "result",
    "shape": [3, 4],
    "dtype": "float32",
    "writers": ["aten::div_.Tensor", "aten::div_.Tensor", "aten::div_.Tensor"],
    "saved_version": 0,
    "version": 3,
    "made_by": "aten::exp",
    "module": None,
}


def run():
    torch.manual_seed(0)
    policy = nn.Linear(3, 4)
    weights = policy(torch.randn(3, 3)).exp()  # saves
    for row in weights.detach():
        row /= row.sum()  # writes
    weights.log().sum().backward()


if __name__ == "__main__":
    run()

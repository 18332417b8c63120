"""A trajectory tensor is filled step by step, each step computed from the last one."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat1",
    "shape": [3, 2],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 4,
    "version": 5,
    "made_by": None,
    "module": None,
}


def run():
    torch.manual_seed(0)
    drift = nn.Linear(2, 2)
    path = torch.zeros(5, 3, 2)
    path[0] = torch.randn(3, 2)
    for t in range(4):
        path[t + 1] = path[t] + 0.1 * drift(path[t])  # saves, writes
    path[-1].square().sum().backward()


if __name__ == "__main__":
    run()

"""Weights of a sum of losses are rescheduled in place between two tasks."""

import torch
from torch import nn

EXPECT = {
    "node": "MulBackward0",
    "field": "self",
    "shape": [2],
    "dtype": "float32",
    "writers": ["scalar[i] = v"],
    "saved_version": 1,
    "version": 2,
    "made_by": "scalar[i] = v",
    "module": None,
}


def run():
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    weights = torch.tensor([1.0, 0.5])
    total = torch.zeros(())
    for step, x in enumerate(torch.randn(2, 4, 3)):
        losses = net(x).square().mean(0)
        total = total + (weights * losses).sum()  # saves
        weights[1] = 0.5**step  # writes
    total.backward()


if __name__ == "__main__":
    run()

"""A checkpointed block's output goes into a square, and is then changed in place."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

EXPECT = {
    "node": "PowBackward0",
    "field": "self",
    "shape": [2, 4],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::addmm",
    "module": None,
}


def run():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4))
    x = torch.randn(2, 3, requires_grad=True)
    y = checkpoint(block, x, use_reentrant=False)
    energy = y.square()  # saves
    y += 1  # writes
    (energy.sum() + y.sum()).backward()


if __name__ == "__main__":
    run()

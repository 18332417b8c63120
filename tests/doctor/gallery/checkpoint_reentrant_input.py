"""The input of a reentrant checkpoint, which it keeps for recomputing, is changed in place."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

EXPECT = {
    "node": "CheckpointFunctionBackward",
    "field": "saved_tensors[0]",
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
    first = nn.Linear(3, 4)
    block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    h = first(torch.randn(2, 3))
    y = checkpoint(block, h, use_reentrant=True)  # saves
    h += y  # writes
    h.sum().backward()


if __name__ == "__main__":
    run()

"""Invalid entries of a prediction are set to zero through a mask after log used them."""

import torch
from torch import nn

EXPECT = {
    "node": "MulBackward0",
    "field": "self",
    "shape": [3, 5],
    "dtype": "float32",
    "writers": ["x[mask] = v"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::_softmax",
    "module": None,
}


def run():
    torch.manual_seed(0)
    head = nn.Linear(4, 5)
    p = head(torch.randn(3, 4)).softmax(dim=-1)
    entropy = -(p * p.log()).sum()  # saves
    p[p < 0.1] = 0.0  # writes
    loss = entropy + p.max()
    loss.backward()


if __name__ == "__main__":
    run()

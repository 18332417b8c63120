"""Stick breaking: what remains is multiplied in place while each piece needs it as it was."""

import torch
from torch import nn

EXPECT = {
    "node": "MulBackward0",
    "field": "self",
    "shape": [2],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 3,
    "version": 4,
    "made_by": "aten::mul_.Tensor",
    "module": None,
}


def run():
    torch.manual_seed(0)
    net = nn.Linear(3, 4)
    fractions = torch.sigmoid(net(torch.randn(2, 3)))
    remaining, pieces = torch.ones(2), []
    for k in range(4):
        pieces.append(remaining * fractions[:, k])  # saves
        remaining *= 1 - fractions[:, k]  # writes
    torch.stack(pieces).log().sum().backward()


if __name__ == "__main__":
    run()

"""The hidden state of finished episodes is zeroed in place after the GRU cell used it."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat1",
    "shape": [2, 3],
    "dtype": "float32",
    "writers": ["x[mask] = v"],
    "saved_version": 2,
    "version": 3,
    "made_by": "aten::add_.Tensor",
    "module": "",
}


def run():
    torch.manual_seed(0)
    cell, value = nn.GRUCell(2, 3), nn.Linear(3, 1)
    h, total = torch.zeros(2, 3), 0.0
    for t, x in enumerate(torch.randn(3, 2, 2)):
        h = cell(x, h)
        total = total + value(h).sum()  # saves
        if t == 1:
            h[torch.tensor([True, False])] = 0.0  # writes
    total.backward()


if __name__ == "__main__":
    run()

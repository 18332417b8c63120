"""A head is initialised anew after its forward pass, before backward."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [3, 2],
    "dtype": "float32",
    "writers": ["aten::uniform_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "1",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    loss = net(torch.randn(5, 4)).square().mean()  # saves
    nn.init.xavier_uniform_(net[1].weight)  # writes
    loss.backward()


if __name__ == "__main__":
    run()

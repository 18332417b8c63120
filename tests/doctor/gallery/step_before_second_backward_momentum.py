"""The same with momentum and the foreach implementation."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["aten::_foreach_add_.List"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, foreach=True)
    out = net(torch.randn(5, 3))  # saves
    first, second = out[:, 0].sum(), out[:, 1].square().sum()
    first.backward(retain_graph=True)
    opt.step()  # writes
    second.backward()


if __name__ == "__main__":
    run()

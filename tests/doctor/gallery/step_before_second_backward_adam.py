"""The loss is used for a second backward pass after Adam moved the weights."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 1],
    "dtype": "float32",
    "writers": ["aten::_foreach_addcdiv_.ScalarList"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    opt = torch.optim.Adam(net.parameters(), lr=0.01, foreach=True)
    loss = net(torch.randn(5, 3)).square().mean()  # saves
    for _ in range(2):
        opt.zero_grad()
        loss.backward(retain_graph=True)
        opt.step()  # writes


if __name__ == "__main__":
    run()

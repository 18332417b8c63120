"""The averaged weights are copied into the model while its loss waits for backward."""

import copy

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.body(x).tanh())  # saves


EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [5, 2],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "head",
}


def run():
    torch.manual_seed(0)
    net = Net()
    average = copy.deepcopy(net)
    loss = net(torch.randn(4, 3)).square().sum()
    with torch.no_grad():
        for mean, p in zip(average.parameters(), net.parameters(), strict=True):
            mean.lerp_(p, 0.1)
            p.copy_(mean)  # writes
    loss.backward()


if __name__ == "__main__":
    run()

"""The first row of a hidden layer is overwritten by a number after it was used."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.second = nn.Linear(6, 1)

    def forward(self, x):
        hidden = torch.tanh(self.first(x))  # saves
        hidden[0] = 0.0  # writes
        return self.second(hidden)


EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [7, 6],
    "dtype": "float32",
    "writers": ["x[i] = v"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": "",
}


def run():
    torch.manual_seed(0)
    net = Net()
    loss = net(torch.randn(7, 3)).mean()
    loss.backward()


if __name__ == "__main__":
    run()

"""`out += identity` on an activation that keeps its result."""

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        out = torch.sigmoid(self.conv(x))  # saves
        out += x  # writes
        return out


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Residual()
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.block(x).mean((2, 3)))


EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [2, 2, 4, 4],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": "block",
}


def run():
    torch.manual_seed(0)
    Net()(torch.randn(2, 2, 4, 4)).sum().backward()


if __name__ == "__main__":
    run()

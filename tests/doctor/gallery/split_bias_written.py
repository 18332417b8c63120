"""The offset half of a joint output is shifted in place after exp took the whole of it."""

import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(2, 4)

    def forward(self, x):
        params = self.net(x)
        spread = params.square()  # saves
        shift = params.view(-1, 2, 2)[:, 1]
        shift.add_(1.0)  # writes
        return x * spread[:, :2] + shift


EXPECT = {
    "node": "PowBackward0",
    "field": "self",
    "shape": [5, 4],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::addmm",
    "module": "",
}


def run():
    torch.manual_seed(0)
    Coupling()(torch.randn(5, 2)).sum().backward()


if __name__ == "__main__":
    run()

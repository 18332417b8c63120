"""A positional table is rolled on under no_grad after it was multiplied in."""

import torch
from torch import nn


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("phase", torch.linspace(0, 1, 4))

    def forward(self, x):
        y = x * self.phase  # saves
        self.phase.add_(1.0)  # writes
        return y


EXPECT = {
    "node": "MulBackward0",
    "field": "other",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::linspace.out",
    "module": "0",
}


def run():
    torch.manual_seed(0)
    x = torch.randn(3, 4, requires_grad=True)
    nn.Sequential(Rotary())(x).sum().backward()


if __name__ == "__main__":
    run()

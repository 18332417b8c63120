"""The hidden state of a hand-written LSTM is a buffer that every step copies into."""

import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ih = nn.Linear(width, 4 * width)
        self.hh = nn.Linear(width, 4 * width)

    def forward(self, x, h, c):
        i, f, o, g = (self.ih(x) + self.hh(h)).chunk(4, 1)  # saves
        c.mul_(torch.sigmoid(f)).add_(torch.sigmoid(i) * torch.tanh(g))
        h.copy_(torch.sigmoid(o) * torch.tanh(c))  # writes
        return h, c


EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat1",
    "shape": [2, 3],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 2,
    "version": 3,
    "made_by": "aten::copy_",
    "module": "hh",
}


def run():
    torch.manual_seed(0)
    cell = Cell(3)
    h, c = torch.zeros(2, 3), torch.zeros(2, 3)
    for x in torch.randn(3, 2, 3):
        h, c = cell(x, h, c)
    h.sum().backward()


if __name__ == "__main__":
    run()

"""A ModuleList of ModuleLists, in which one block in the middle has an in-place activation."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.gate = nn.Tanh()
        self.act = nn.Hardtanh(-0.5, 0.5, inplace=inplace)

    def forward(self, x):
        gated = self.gate(self.fc(x))  # saves
        return self.act(gated)  # writes


class Stage(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.blocks = nn.ModuleList([Block(inplace), Block(False)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([Stage(False), Stage(True), Stage(False)])

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return x


EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [2, 4],
    "dtype": "float32",
    "writers": ["aten::hardtanh_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": "stages.1.blocks.0.gate",
}


def run():
    torch.manual_seed(0)
    Net()(torch.randn(2, 4)).sum().backward()


if __name__ == "__main__":
    run()

"""Entries of state_dict() are the weights themselves; an "export" halves them."""

import torch
from torch import nn


class Auto(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 2)
        self.decoder = nn.Linear(2, 4)

    def forward(self, x):
        code = self.encoder(x)
        return self.decoder(code) - x  # saves


def export(module):
    state = module.state_dict()
    for name in state:
        if name.endswith("weight"):
            state[name].div_(2)  # writes
    return state


EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [2, 4],
    "dtype": "float32",
    "writers": ["aten::div_.Tensor"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "decoder",
}


def run():
    torch.manual_seed(0)
    net = Auto()
    loss = net(torch.randn(3, 4)).square().sum()
    export(net)
    loss.backward()


if __name__ == "__main__":
    run()

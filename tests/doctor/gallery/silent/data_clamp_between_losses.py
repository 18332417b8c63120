"""Weights are clipped through `.data` between the two backward passes of one forward."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["aten::clamp_"],
    "saved_version": 1,
    "version": 1,
    "made_by": "leaf",
    "module": "2",
    "silent": True,
    "outside": False,
}


def run():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(6, 2)
    (right,) = torch.autograd.grad(critic(x)[:, 1].sum(), critic[0].weight)
    out = critic(x)  # saves
    out[:, 0].sum().backward(retain_graph=True)
    for p in critic.parameters():
        p.data.clamp_(-0.01, 0.01)  # writes
    (got,) = torch.autograd.grad(out[:, 1].sum(), critic[0].weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

"""A fused AdamW step between the losses of two tasks: it moves no version."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["aten::_fused_adamw_"],
    "saved_version": 1,
    "version": 1,
    "made_by": "leaf",
    "module": "2",
    "silent": True,
    "outside": False,
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    opt = torch.optim.AdamW(net.parameters(), lr=0.5, fused=True)
    x = torch.randn(5, 3)
    (right,) = torch.autograd.grad(net(x)[:, 1].sum(), net[0].weight)
    out = net(x)  # saves
    out.square().sum().backward(retain_graph=True)
    opt.step()  # writes
    (got,) = torch.autograd.grad(out[:, 1].sum(), net[0].weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

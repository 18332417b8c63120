"""Adagrad (one parameter at a time) steps between the losses of two tasks of one trunk."""

import torch
from torch import nn


class Tasks(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})

    def forward(self, x):
        h = self.trunk(x).relu()
        return {k: head(h).mean() for k, head in self.heads.items()}  # saves


EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 1],
    "dtype": "float32",
    "writers": ["aten::addcdiv_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "heads.b",
}


def run():
    torch.manual_seed(0)
    net = Tasks()
    opt = torch.optim.Adagrad(net.parameters(), lr=0.1, weight_decay=0.1, foreach=False)
    losses = net(torch.randn(5, 3))
    for task in ("a", "b"):
        opt.zero_grad(set_to_none=False)
        for p in net.parameters():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        losses[task].backward(retain_graph=True)
        opt.step()  # writes


if __name__ == "__main__":
    run()

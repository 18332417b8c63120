"""SGD by hand, `p.data -= lr * p.grad`, before the second task goes backward."""

import torch
from torch import nn

EXPECT = {
    "node": "MmBackward0",
    "field": "mat2",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["aten::sub_.Tensor"],
    "saved_version": 0,
    "version": 0,
    "made_by": "leaf",
    "module": "",
    "silent": True,
    "outside": False,
}


class TwoTasks(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(3, 4, bias=False)
        self.task = nn.Parameter(torch.randn(4, 2))

    def forward(self, x):
        return self.trunk(x).relu() @ self.task  # saves


def run():
    torch.manual_seed(0)
    net, x = TwoTasks(), torch.randn(5, 3)
    (right,) = torch.autograd.grad(net(x)[:, 1].sum(), net.trunk.weight)
    out = net(x)
    out.square().sum().backward(retain_graph=True)
    for p in net.parameters():
        p.data -= 0.1 * p.grad  # writes
    (got,) = torch.autograd.grad(out[:, 1].sum(), net.trunk.weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

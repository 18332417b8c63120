"""A loss in eval mode waits while a forward in train mode moves the running statistics."""

import torch
from torch import nn

EXPECT = {
    "node": "NativeBatchNormBackward0",
    "field": "running_mean",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::native_batch_norm"],
    "saved_version": 1,
    "version": 1,
    "made_by": "aten::native_batch_norm",
    "module": "1",
    "silent": True,
    "outside": False,
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    x = torch.randn(8, 3)
    net.eval()
    (right,) = torch.autograd.grad(net(x).square().sum(), net[0].weight)
    teacher = net(x).square().sum()  # saves
    net.train()
    net(10 * torch.randn(8, 3))  # writes
    (got,) = torch.autograd.grad(teacher, net[0].weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

"""Data parallelism broadcasts a buffer that is in use, and puts its version back."""

import torch
from torch import nn

EXPECT = {
    "node": "MulBackward0",
    "field": "other",
    "shape": [3],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::fill_.Scalar",
    "module": "",
    "silent": True,
    "outside": False,
}


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.register_buffer("scale", torch.ones(3))

    def forward(self, x):
        return (x * self.weight * self.scale).sum()  # saves


def broadcast(module, values):
    buffers = tuple(module.buffers())
    with torch.no_grad(), torch.autograd._unsafe_preserve_version_counter(buffers):
        for buffer, value in zip(buffers, values, strict=True):
            buffer.copy_(value)  # writes


def run():
    torch.manual_seed(0)
    net = Scaled()
    a, b = torch.randn(2, 4, 3)
    right = a.sum(0) + b.sum(0) * 3
    first = net(a)
    broadcast(net, [torch.full((3,), 3.0)])
    second = net(b)
    (got,) = torch.autograd.grad(first + second, net.weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

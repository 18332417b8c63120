"""A hidden layer is scaled through `.data`, which has a version of its own."""

import torch
from torch import nn

EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::tanh",
    "module": None,
    "silent": True,
    "outside": False,
}


def loss_of(layer, x, write):
    hidden = torch.tanh(layer(x))  # saves
    if write:
        hidden.data.mul_(0.5)  # writes
    return hidden.sum()


def run():
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    (right,) = torch.autograd.grad(loss_of(layer, x, False), layer.weight)
    (got,) = torch.autograd.grad(loss_of(layer, x, True), layer.weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

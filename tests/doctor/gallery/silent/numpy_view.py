"""A metric works on `detach().numpy()`, which is the same memory, and sorts it."""

import torch
from torch import nn

EXPECT = {
    "node": "SoftmaxBackward0",
    "field": "result",
    "shape": [2, 3],
    "dtype": "float32",
    "writers": [],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::_softmax",
    "module": None,
    "silent": True,
    "outside": True,
}


def median(probabilities):
    array = probabilities.detach().numpy()
    array.sort(axis=1)  # writes
    return array[:, 1].mean()


def run():
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    (right,) = torch.autograd.grad(layer(x).softmax(1)[:, 0].sum(), layer.weight)
    p = layer(x).softmax(1)  # saves
    loss = p[:, 0].sum()
    median(p)
    (got,) = torch.autograd.grad(loss, layer.weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

"""A transposed view of the activations is scaled in place: the activations are one memory."""

import torch
from torch import nn

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [4, 5],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    layer = nn.Linear(3, 5)
    hidden = torch.sigmoid(layer(torch.randn(4, 3)))  # saves
    columns = hidden.t()
    columns *= 0.5  # writes
    columns.sum().backward()


if __name__ == "__main__":
    run()

"""A gradient hook zeroes the activations once it has seen their gradient."""

import torch
from torch import nn

EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [2, 4],
    "dtype": "float32",
    "writers": ["aten::zero_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": None,
}


def run():
    torch.manual_seed(0)
    layer = nn.Linear(3, 4)
    hidden = torch.tanh(layer(torch.randn(2, 3)))  # saves

    def free(grad):
        hidden.detach().zero_()  # writes

    hidden.register_hook(free)
    hidden.square().sum().backward()


if __name__ == "__main__":
    run()

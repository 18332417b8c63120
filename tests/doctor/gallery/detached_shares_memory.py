"""detach() shares memory and version: what is written to the log copy reaches the graph."""

import torch
from torch import nn

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["x[mask] = v"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    probability = torch.sigmoid(layer(torch.randn(4, 3)))  # saves
    logged = probability.detach()
    logged[logged > 0.5] = 1.0  # writes
    probability.mean().backward()


if __name__ == "__main__":
    run()

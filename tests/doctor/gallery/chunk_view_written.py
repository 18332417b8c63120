"""Gates are cut with chunk and one of the chunks is changed in place."""

import torch
from torch import nn

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [3, 6],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    layer = nn.Linear(4, 6)
    gates = layer(torch.randn(3, 4)).sigmoid()  # saves
    update, reset = torch.narrow(gates, 1, 0, 3), gates[:, 3:]
    update.mul_(0.9)  # writes
    (update * reset).sum().backward()


if __name__ == "__main__":
    run()

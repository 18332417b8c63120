"""Three different lines change a sigmoid before backward asks for it."""

import torch
from torch import nn

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [4, 3],
    "dtype": "float32",
    "writers": ["aten::sub_.Tensor", "aten::mul_.Tensor", "scalar[i] = v"],
    "saved_version": 0,
    "version": 3,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    mask = torch.sigmoid(net(torch.randn(4, 3)))  # saves
    mask.sub_(0.1)  # writes
    mask *= 2  # writes
    mask[0, 0] = 1.0  # writes
    mask.sum().backward()


if __name__ == "__main__":
    run()

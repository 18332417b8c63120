"""An in-place leaky ReLU written with F. on the output of another in-place activation."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        y = self.fc(x)
        y = F.elu(y, inplace=True)  # saves
        return F.leaky_relu(y, 0.1, inplace=True)  # writes


EXPECT = {
    "node": "EluBackward1",
    "field": "result",
    "shape": [5, 4],
    "dtype": "float32",
    "writers": ["aten::leaky_relu_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "aten::elu_",
    "module": "",
}


def run():
    torch.manual_seed(0)
    Block()(torch.randn(5, 3)).sum().backward()


if __name__ == "__main__":
    run()

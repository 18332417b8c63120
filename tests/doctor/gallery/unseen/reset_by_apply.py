"""Module.apply with a reset function that calls each layer's reset_parameters."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4, bias=False)

    def forward(self, x):
        return self.norm(self.fc(x))  # saves


def reset(module):
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()  # writes


EXPECT = {
    "node": "NativeLayerNormBackward0",
    "field": "weight",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::fill_.Scalar"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "norm",
}


def run():
    torch.manual_seed(0)
    net = Net()
    loss = net(torch.randn(5, 3)).pow(3).sum()
    net.apply(reset)
    loss.backward()


if __name__ == "__main__":
    run()

"""An in-place ReLU that follows an activation which keeps its output."""

import torch
from torch import nn

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [16, 8],
    "dtype": "float32",
    "writers": ["aten::relu_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": "1",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.ReLU(inplace=True), nn.Linear(8, 1))
    x = torch.randn(16, 4)
    loss = net(x).square().mean()  # saves, writes
    loss.backward()


if __name__ == "__main__":
    run()

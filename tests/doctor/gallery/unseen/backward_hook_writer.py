"""The backward hook of a later layer changes the weight an earlier layer still needs."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 4],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))

    def decay(module, grad_input, grad_output):
        with torch.no_grad():
            net[2].weight.mul_(0.9)  # writes

    net[4].register_full_backward_hook(decay)
    net(torch.randn(5, 3)).sum().backward()  # saves


if __name__ == "__main__":
    run()

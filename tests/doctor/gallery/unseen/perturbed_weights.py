"""A context manager moves the weights and moves them back: same numbers, two versions later."""

from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def perturbed(parameters, by):
    parameters = list(parameters)
    with torch.no_grad():
        for p in parameters:
            p.add_(by)  # writes
    try:
        yield
    finally:
        with torch.no_grad():
            for p in parameters:
                p.sub_(by)  # writes


EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 1],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor", "aten::sub_.Tensor"],
    "saved_version": 1,
    "version": 3,
    "made_by": "leaf",
    "module": "1",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    x = torch.randn(5, 3)
    loss = net(x).square().mean()  # saves
    with perturbed(net.parameters(), 0.5):
        sharp = net(x).square().mean().item()
    (loss * (sharp > 0)).backward()


if __name__ == "__main__":
    run()

"""Augmentations kept as lambdas in a table; one of them writes."""

import torch
from torch import nn

AUGMENT = {
    "flip": lambda t: t.flip(1),
    "cut": lambda t: t[:, :1].zero_(),  # writes
    "noise": lambda t: t + 0.1,
}

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
    stem = nn.Linear(3, 4)
    features = stem(torch.randn(2, 3)).tanh()  # saves
    views = {name: f(features) for name, f in AUGMENT.items()}
    sum(v.sum() for v in views.values()).backward()


if __name__ == "__main__":
    run()

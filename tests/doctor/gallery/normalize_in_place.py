"""Features are divided by their own norm in place."""

import torch
from torch import nn

EXPECT = {
    "node": "LinalgVectorNormBackward0",
    "field": "self",
    "shape": [5, 4],
    "dtype": "float32",
    "writers": ["aten::div_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::addmm",
    "module": None,
}


def run():
    torch.manual_seed(0)
    encoder = nn.Linear(3, 4)
    features = encoder(torch.randn(5, 3))
    features /= features.norm(dim=1, keepdim=True)  # saves, writes
    similarity = features @ features.t()
    similarity.sum().backward()


if __name__ == "__main__":
    run()

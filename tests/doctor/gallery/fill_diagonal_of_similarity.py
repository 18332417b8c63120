"""Self-similarity is removed by filling the diagonal after exp kept the matrix."""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "node": "ExpBackward0",
    "field": "result",
    "shape": [5, 5],
    "dtype": "float32",
    "writers": ["aten::fill_diagonal_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::exp",
    "module": None,
}


def run():
    torch.manual_seed(0)
    encoder = nn.Linear(4, 3)
    z = F.normalize(encoder(torch.randn(5, 4)), dim=1)
    similarity = torch.exp(z @ z.t() / 0.5)  # saves
    similarity.fill_diagonal_(0)  # writes
    (-similarity[0, 1].log() + similarity.sum(1).log().sum()).backward()


if __name__ == "__main__":
    run()

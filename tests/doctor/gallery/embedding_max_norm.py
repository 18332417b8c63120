"""An embedding with max_norm renormalises its weight in place after the weight was used."""

import torch
from torch import nn

EXPECT = {
    "node": "MmBackward0",
    "field": "self",
    "shape": [6, 3],
    "dtype": "float32",
    "writers": ["aten::embedding_renorm_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": None,
}


def run():
    torch.manual_seed(0)
    words = nn.Embedding(6, 3, max_norm=1.0)
    project = torch.randn(3, 3, requires_grad=True)
    table = words.weight @ project  # saves
    picked = words(torch.tensor([1, 4]))  # writes
    (table.sum() + picked.sum()).backward()


if __name__ == "__main__":
    run()

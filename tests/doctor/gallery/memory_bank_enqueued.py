"""A contrastive queue takes the new keys after the logits were computed against it."""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "node": "MmBackward0",
    "field": "mat2",
    "shape": [3, 8],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 0,
    "version": 1,
    "made_by": None,
    "module": None,
}


def run():
    torch.manual_seed(0)
    encoder, queue, at = nn.Linear(4, 3), F.normalize(torch.randn(8, 3), dim=1), 2
    query = F.normalize(encoder(torch.randn(2, 4)), dim=1)
    keys = F.normalize(torch.randn(2, 3), dim=1)
    positive = (query * keys).sum(1, keepdim=True)
    logits = torch.cat([positive, query @ queue.t()], dim=1)  # saves
    with torch.no_grad():
        queue[at : at + 2] = keys  # writes
    F.cross_entropy(logits / 0.07, torch.zeros(2, dtype=torch.long)).backward()


if __name__ == "__main__":
    run()

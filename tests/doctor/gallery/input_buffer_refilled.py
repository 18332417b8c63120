"""The next batch is copied into the static input buffer before the last loss went backward."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat1",
    "shape": [6, 3],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "aten::copy_",
    "module": "0",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    batches, buffer, losses = torch.randn(2, 6, 3), torch.empty(6, 3), []
    for batch in batches:
        buffer.copy_(batch)  # writes
        losses.append(net(buffer).square().mean())  # saves
    sum(losses).backward()


if __name__ == "__main__":
    run()

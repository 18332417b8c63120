"""The target network takes the online weights while a loss through the target waits."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 3],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    online = nn.Linear(3, 3)
    target = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
    source = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
    loss = target(online(torch.randn(4, 3))).square().sum()  # saves
    target.load_state_dict(source.state_dict())  # writes
    loss.backward()


if __name__ == "__main__":
    run()

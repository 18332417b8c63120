"""A critic's weights are clipped under no_grad between its forward and its backward."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 1],
    "dtype": "float32",
    "writers": ["aten::clamp_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    opt = torch.optim.RMSprop(critic.parameters(), lr=5e-5)
    loss = critic(torch.randn(6, 2)).mean() - critic(torch.randn(6, 2)).mean()  # saves
    with torch.no_grad():
        for p in critic.parameters():
            p.clamp_(-0.01, 0.01)  # writes
    opt.zero_grad()
    loss.backward()
    opt.step()


if __name__ == "__main__":
    run()

"""The gradient of a penalty is clipped in place before the penalty goes backward."""

import torch
from torch import nn

EXPECT = {
    "node": "LinalgVectorNormBackward0",
    "field": "self",
    "shape": [6, 2],
    "dtype": "float32",
    "writers": ["aten::clamp_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::mm",
    "module": None,
}


def run():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(6, 2, requires_grad=True)
    score = critic(x)
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    penalty = (slope.norm(dim=1) - 1).square().mean()  # saves
    slope.clamp_(-1.0, 1.0)  # writes
    (penalty - score.mean()).backward()


if __name__ == "__main__":
    run()

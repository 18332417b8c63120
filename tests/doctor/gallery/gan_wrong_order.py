"""The discriminator steps before the generator's loss, computed earlier, goes backward."""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [8, 1],
    "dtype": "float32",
    "writers": ["aten::addcdiv_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    critic = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
    opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3)
    opt_d = torch.optim.Adam(critic.parameters(), lr=1e-3)
    real, ones, zeros = torch.randn(4, 3), torch.ones(4, 1), torch.zeros(4, 1)

    fake = generator(torch.randn(4, 2))
    judged = critic(fake)  # saves
    loss_g = F.binary_cross_entropy_with_logits(judged, ones)
    loss_d = F.binary_cross_entropy_with_logits(critic(real), ones)
    loss_d = loss_d + F.binary_cross_entropy_with_logits(critic(fake.detach()), zeros)

    opt_d.zero_grad()
    loss_d.backward()
    opt_d.step()  # writes
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()


if __name__ == "__main__":
    run()

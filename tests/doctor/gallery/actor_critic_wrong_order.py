"""The critic learns first; the actor's loss still needs the critic's old weights."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [8, 1],
    "dtype": "float32",
    "writers": ["aten::_foreach_mul_.Scalar", "aten::_foreach_addcdiv_.ScalarList"],
    "saved_version": 1,
    "version": 3,
    "made_by": "leaf",
    "module": "2",
}


def run():
    torch.manual_seed(0)
    actor = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1), nn.Tanh())
    critic = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    learn_actor = torch.optim.AdamW(actor.parameters(), lr=1e-3, foreach=True)
    learn_critic = torch.optim.AdamW(critic.parameters(), lr=1e-3, foreach=True)
    state, action, reward = torch.randn(5, 3), torch.randn(5, 1), torch.randn(5, 1)

    actor_loss = -critic(torch.cat([state, actor(state)], 1)).mean()  # saves
    critic_loss = (critic(torch.cat([state, action], 1)) - reward).square().mean()
    learn_critic.zero_grad()
    critic_loss.backward()
    learn_critic.step()  # writes
    learn_actor.zero_grad()
    actor_loss.backward()
    learn_actor.step()


if __name__ == "__main__":
    run()

"""Under autocast the softmax runs in float32 and is masked in place."""

import torch
from torch import nn

EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [3, 3],
    "dtype": "bfloat16",
    "writers": ["x[i] = v"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": None,
}


def run():
    torch.manual_seed(0)
    project = nn.Linear(4, 4)
    x = torch.randn(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = project(x) @ x.t()
        weights = torch.tanh(scores)  # saves
        weights[:, -1] = 0  # writes
        loss = weights.float().sum()
    loss.backward()


if __name__ == "__main__":
    run()

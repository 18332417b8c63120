"""All but the best entries of a softmax are scattered to zero in place."""

import torch
from torch import nn

EXPECT = {
    "node": "SoftmaxBackward0",
    "field": "result",
    "shape": [3, 5],
    "dtype": "float32",
    "writers": ["aten::scatter_.value"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::_softmax",
    "module": None,
}


def run():
    torch.manual_seed(0)
    router = nn.Linear(4, 5)
    gates = router(torch.randn(3, 4)).softmax(-1)  # saves
    worst = gates.topk(3, largest=False).indices
    gates.scatter_(1, worst, 0.0)  # writes
    gates.square().sum().backward()


if __name__ == "__main__":
    run()

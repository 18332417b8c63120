"""Messages of a graph network are summed in place into features that tanh kept."""

import torch
from torch import nn

EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [3, 2],
    "dtype": "float32",
    "writers": ["aten::index_add_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": None,
}


def run():
    torch.manual_seed(0)
    update = nn.Linear(2, 2)
    source, target = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    nodes = torch.tanh(update(torch.randn(3, 2)))  # saves
    nodes.index_add_(0, target, nodes[source])  # writes
    nodes.sum().backward()


if __name__ == "__main__":
    run()

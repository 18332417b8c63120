"""Rows chosen by an index tensor are replaced after the tensor went through tanh."""

import torch

EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [4, 3],
    "dtype": "float32",
    "writers": ["aten::index_put_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": None,
}


def run():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, requires_grad=True)
    table = torch.tanh(weight)  # saves
    rows = torch.tensor([0, 2])
    table[rows] = torch.ones(2, 3)  # writes
    loss = table.sum()
    loss.backward()


if __name__ == "__main__":
    run()

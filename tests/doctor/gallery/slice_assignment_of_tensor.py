"""A column is replaced by a tensor after the whole was squared."""

import torch

EXPECT = {
    "node": "PowBackward0",
    "field": "self",
    "shape": [6, 3],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::mul.Tensor",
    "module": None,
}


def run():
    torch.manual_seed(0)
    points = torch.randn(6, 3, requires_grad=True)
    moved = points * 2
    energy = moved.pow(2).sum(1)  # saves
    moved[:, 0] = torch.zeros(6)  # writes
    loss = energy.sum() + moved.sum()
    loss.backward()


if __name__ == "__main__":
    run()

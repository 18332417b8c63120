"""A generator goes on after its yield and changes what it gave away."""

import torch


def samples(weight, n):
    state = torch.randn(3)
    for _ in range(n):
        proposal = torch.sigmoid(weight * state)
        yield proposal
        proposal += 0.01 * torch.randn(3)  # writes


EXPECT = {
    "node": "PowBackward0",
    "field": "self",
    "shape": [3],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    weight = torch.randn(3, requires_grad=True)
    total = sum(s.square().sum() for s in samples(weight, 2))  # saves
    total.backward()


if __name__ == "__main__":
    run()

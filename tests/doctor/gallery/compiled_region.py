"""A compiled function (backend "eager") returns a sigmoid that its caller multiplies in place.

The line of what runs in a compiled function is its first.
"""

import torch


@torch.compile(backend="eager")  # saves
def gate(x, weight):
    return torch.sigmoid(x * weight)


EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    weight = torch.randn(4, requires_grad=True)
    out = gate(torch.randn(4), weight)
    out *= 2  # writes
    out.sum().backward()


if __name__ == "__main__":
    run()

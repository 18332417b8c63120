"""The untyped storage is zeroed "to save memory" while exp's backward still reads it."""

import torch

EXPECT = {
    "node": "ExpBackward0",
    "field": "result",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::fill_.Scalar"],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::exp",
    "module": None,
    "silent": True,
    "outside": False,
}


def run():
    torch.manual_seed(0)
    x = torch.randn(4, requires_grad=True)
    y = x.exp()  # saves
    right = y.detach().clone()
    total = y.sum()
    y.untyped_storage().fill_(0)  # writes
    (got,) = torch.autograd.grad(total, x)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

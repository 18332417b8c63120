"""The next state is copied into `x.data` while a loss on the old one waits."""

import torch

EXPECT = {
    "node": "PowBackward0",
    "field": "self",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 0,
    "version": 0,
    "made_by": "leaf",
    "module": None,
    "silent": True,
    "outside": False,
}


def run():
    torch.manual_seed(0)
    x = torch.randn(4, requires_grad=True)
    right = 3 * x.detach().square()
    loss = x.pow(3).sum()  # saves
    x.data.copy_(torch.randn(4))  # writes
    (got,) = torch.autograd.grad(loss, x)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

"""`w.data = new` puts other memory under a weight that a product kept."""

import torch

EXPECT = {
    "node": "MulBackward0",
    "field": "other",
    "shape": [3],
    "dtype": "float32",
    "writers": [],
    "saved_version": 0,
    "version": 0,
    "made_by": "leaf",
    "module": None,
    "silent": True,
    "outside": True,
}


def run():
    torch.manual_seed(0)
    w = torch.randn(3, requires_grad=True)
    right = 2 * w.detach().clone()
    loss = (w * w).sum()  # saves
    w.data = torch.full((3,), 5.0)  # writes
    (got,) = torch.autograd.grad(loss, w)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

"""A memoryview of the array of the activations is assigned to, one number at a time."""

import torch

EXPECT = {
    "node": "MulBackward0",
    "field": "self",
    "shape": [3],
    "dtype": "float32",
    "writers": [],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::normal_",
    "module": None,
    "silent": True,
    "outside": True,
}


def run():
    torch.manual_seed(0)
    weight, x = torch.randn(3, requires_grad=True), torch.randn(3)
    right = x.clone()
    loss = (x * weight).sum()  # saves
    view = memoryview(x.numpy())
    for i in range(len(view)):
        view[i] = float(i)  # writes
    (got,) = torch.autograd.grad(loss, weight)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

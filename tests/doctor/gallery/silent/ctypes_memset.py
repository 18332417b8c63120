"""A C function gets `data_ptr()` and writes there."""

import ctypes

import torch

EXPECT = {
    "node": "SqrtBackward0",
    "field": "result",
    "shape": [4],
    "dtype": "float32",
    "writers": [],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::sqrt",
    "module": None,
    "silent": True,
    "outside": True,
}


def run():
    torch.manual_seed(0)
    x = torch.rand(4, requires_grad=True)
    root = x.sqrt()  # saves
    right = 0.5 / root.detach()
    values = (ctypes.c_float * 4)(1.0, 2.0, 3.0, 4.0)
    ctypes.memmove(root.data_ptr(), values, 16)  # writes
    (got,) = torch.autograd.grad(root.sum(), x)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

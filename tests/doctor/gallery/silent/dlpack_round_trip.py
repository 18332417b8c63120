"""torch.from_dlpack makes a tensor with a version of its own on the same memory."""

import torch

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [5],
    "dtype": "float32",
    "writers": ["aten::round_"],
    "saved_version": 0,
    "version": 0,
    "made_by": "aten::sigmoid",
    "module": None,
    "silent": True,
    "outside": False,
}


def run():
    torch.manual_seed(0)
    x = torch.randn(5, requires_grad=True)
    gate = torch.sigmoid(x)  # saves
    right = (gate * (1 - gate)).detach()
    shared = torch.from_dlpack(gate.detach())
    shared.round_()  # writes
    (got,) = torch.autograd.grad(gate.sum(), x)
    return got, right


if __name__ == "__main__":
    print(*run(), sep="\n")

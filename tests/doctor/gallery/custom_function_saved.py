"""A torch.autograd.Function saves its input, and the caller then changes that input."""

import torch


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * s * (1 + x * (1 - s))


EXPECT = {
    "node": "SwishBackward",
    "field": "saved_tensors[0]",
    "shape": [2, 3],
    "dtype": "float32",
    "writers": ["aten::zero_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::mul.Tensor",
    "module": None,
}


def run():
    torch.manual_seed(0)
    weight = torch.randn(2, 3, requires_grad=True)
    x = weight * 3
    y = Swish.apply(x)  # saves
    x.zero_()  # writes
    (x.sum() + y.sum()).backward()


if __name__ == "__main__":
    run()

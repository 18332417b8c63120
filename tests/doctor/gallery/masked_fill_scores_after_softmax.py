"""Padding is masked in place after the softmax instead of before it."""

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x, padding):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        weights = (q @ k.transpose(-2, -1)).softmax(dim=-1)  # saves
        weights.masked_fill_(padding[:, None, :], 0.0)  # writes
        return weights @ v


EXPECT = {
    "node": "SoftmaxBackward0",
    "field": "result",
    "shape": [2, 3, 3],
    "dtype": "float32",
    "writers": ["aten::masked_fill_.Scalar"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::_softmax",
    "module": "",
}


def run():
    torch.manual_seed(0)
    layer = Attention(4)
    padding = torch.tensor([[False, False, True], [False, True, True]])
    out = layer(torch.randn(2, 3, 4), padding)
    out.square().sum().backward()


if __name__ == "__main__":
    run()

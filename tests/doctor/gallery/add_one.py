"""`x += 1` on the result of exp, which exp's backward multiplies by."""

import torch

EXPECT = {
    "node": "ExpBackward0",
    "field": "result",
    "shape": [5],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::exp",
    "module": None,
}


def run():
    torch.manual_seed(0)
    rate = torch.randn(5, requires_grad=True)
    scale = torch.exp(rate)  # saves
    scale += 1  # writes
    loss = (scale * torch.arange(5.0)).sum()
    loss.backward()


if __name__ == "__main__":
    run()

"""A standard deviation is bounded from below in place, after sqrt kept it."""

import torch

EXPECT = {
    "node": "SqrtBackward0",
    "field": "result",
    "shape": [6],
    "dtype": "float32",
    "writers": ["aten::clamp_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sqrt",
    "module": None,
}


def run():
    torch.manual_seed(0)
    variance = torch.rand(6, requires_grad=True)
    deviation = variance.sqrt()  # saves
    deviation.clamp_(min=0.5)  # writes
    noise = torch.randn(6)
    loss = (deviation * noise).sum() + deviation.log().sum()
    loss.backward()


if __name__ == "__main__":
    run()

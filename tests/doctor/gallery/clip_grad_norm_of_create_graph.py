"""clip_grad_norm_ scales gradients in place that a second-order loss is made of."""

import torch
from torch import nn

EXPECT = {
    "node": "PowBackward0",
    "field": "self",
    "shape": [3],
    "dtype": "float32",
    "writers": ["aten::_foreach_mul_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::mul.Tensor",
    "module": None,
}


def run():
    torch.manual_seed(0)
    gains = [nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3))]
    x = torch.randn(2, 3)
    out = ((x[0] * gains[0]).tanh() + (x[1] * gains[1]).sigmoid()).sum()
    grads = torch.autograd.grad(out, gains, create_graph=True)
    for p, g in zip(gains, grads, strict=True):
        p.grad = g
    roughness = sum(g.pow(3).sum() for g in grads)  # saves
    nn.utils.clip_grad_norm_(gains, 0.1)  # writes
    roughness.backward()


if __name__ == "__main__":
    run()

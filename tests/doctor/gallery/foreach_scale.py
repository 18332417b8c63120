"""torch._foreach_mul_ scales a list of activations that tanh kept."""

import torch

EXPECT = {
    "node": "TanhBackward0",
    "field": "result",
    "shape": [3],
    "dtype": "float32",
    "writers": ["aten::_foreach_mul_.Scalar"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::tanh",
    "module": None,
}


def run():
    torch.manual_seed(0)
    roots = [torch.randn(3, requires_grad=True) for _ in range(3)]
    outputs = [torch.tanh(r) for r in roots]  # saves
    with torch.no_grad():
        torch._foreach_mul_(outputs, 0.5)  # writes
    torch.stack(outputs).sum().backward()


if __name__ == "__main__":
    run()

"""A scratch tensor is filled again through `out=` while an earlier product still needs it."""

import torch

EXPECT = {
    "node": "MulBackward0",
    "field": "self",
    "shape": [4, 3],
    "dtype": "float32",
    "writers": ["aten::add.out"],
    "saved_version": 1,
    "version": 2,
    "made_by": "aten::sub.out",
    "module": None,
}


def run():
    torch.manual_seed(0)
    scale = torch.randn(3, requires_grad=True)
    left, right = torch.randn(4, 3), torch.randn(4, 3)
    scratch = torch.empty(4, 3)
    torch.sub(left, right, out=scratch)
    loss = (scratch * scale).square().sum()  # saves
    torch.add(left, right, out=scratch)  # writes
    loss = loss + (scratch * scale).sum()
    loss.backward()


if __name__ == "__main__":
    run()

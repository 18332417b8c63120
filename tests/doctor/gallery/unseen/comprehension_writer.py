"""A list comprehension adds noise to every level of a pyramid of features."""

import torch
from torch import nn

EXPECT = {
    "node": "SigmoidBackward0",
    "field": "result",
    "shape": [2, 1, 8],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::sigmoid",
    "module": None,
}


def run():
    torch.manual_seed(0)
    convs = nn.ModuleList(nn.Conv1d(1, 1, 3, padding=1) for _ in range(3))
    x = torch.randn(2, 1, 8)
    levels = [torch.sigmoid(conv(x)) for conv in convs]  # saves
    noisy = [level.add_(0.1 * torch.randn_like(level)) for level in levels]  # writes
    torch.cat(noisy).mean().backward()


if __name__ == "__main__":
    run()

"""Both the reader and the writer are calls over several lines."""

import torch
from torch import nn

EXPECT = {
    "node": "SoftmaxBackward0",
    "field": "result",
    "shape": [2, 4],
    "dtype": "float32",
    "writers": ["aten::index_fill_.int_Scalar"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::_softmax",
    "module": None,
}


def run():
    torch.manual_seed(0)
    layer = nn.Linear(3, 4)
    probabilities = torch.softmax(  # saves
        layer(
            torch.randn(
                2,
                3,
            )
        ),
        dim=-1,
    )
    torch.Tensor.index_fill_(  # writes
        probabilities,
        1,
        torch.tensor(
            [
                0,
                2,
            ]
        ),
        0.0,
    )
    probabilities.sum().backward()


if __name__ == "__main__":
    run()

"""F.dropout(inplace=True) on attention weights that softmax keeps."""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "node": "SoftmaxBackward0",
    "field": "result",
    "shape": [2, 5, 5],
    "dtype": "float32",
    "writers": ["aten::dropout_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::_softmax",
    "module": None,
}


def run():
    torch.manual_seed(0)
    query, key = nn.Linear(4, 4), nn.Linear(4, 4)
    x = torch.randn(2, 5, 4)
    attention = torch.softmax(query(x) @ key(x).transpose(1, 2), dim=-1)  # saves
    attention = F.dropout(attention, 0.5, training=True, inplace=True)  # writes
    (attention @ x).sum().backward()


if __name__ == "__main__":
    run()

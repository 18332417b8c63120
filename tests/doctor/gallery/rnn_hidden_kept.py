"""The hidden state of a recurrent cell is carried into the next step with its graph."""

import torch
from torch import nn

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [5, 5],
    "dtype": "float32",
    "writers": ["aten::add_.Tensor"],
    "saved_version": 2,
    "version": 3,
    "made_by": "leaf",
    "module": "",
}


def run():
    torch.manual_seed(0)
    cell, head = nn.RNNCell(3, 5), nn.Linear(5, 1)
    opt = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
    hidden = torch.zeros(2, 5)
    for x in torch.randn(3, 2, 3):
        hidden = cell(x, hidden)  # saves
        loss = head(hidden).square().mean()
        opt.zero_grad()
        loss.backward(retain_graph=True)
        opt.step()  # writes


if __name__ == "__main__":
    run()

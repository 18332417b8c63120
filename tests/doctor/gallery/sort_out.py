"""`torch.sort(out=)` puts new values into buffers that an earlier loss kept."""

import torch

EXPECT = {
    "node": "MulBackward0",
    "field": "self",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::sort.values"],
    "saved_version": 1,
    "version": 2,
    "made_by": "aten::sort.values",
    "module": None,
}


def run():
    torch.manual_seed(0)
    weight = torch.ones(4, requires_grad=True)
    values, order = torch.empty(4), torch.empty(4, dtype=torch.long)
    loss = torch.zeros(())
    for scores in torch.randn(2, 4):
        torch.sort(scores, out=(values, order))  # writes
        loss = loss + (values * weight).sum()  # saves
    loss.backward()


if __name__ == "__main__":
    run()

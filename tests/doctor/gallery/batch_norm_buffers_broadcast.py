"""Two forwards of one batch norm, its buffers broadcast before each, as data parallelism does."""

import torch
from torch import nn


def broadcast_buffers(module, source):
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(source[name])  # writes


EXPECT = {
    "node": "NativeBatchNormBackward0",
    "field": "running_mean",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 2,
    "version": 3,
    "made_by": "aten::native_batch_norm",
    "module": "1",
}


def run():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    rank_zero = {name: buffer.clone() for name, buffer in net.named_buffers()}
    total = 0.0
    for batch in torch.randn(2, 8, 3):
        broadcast_buffers(net, rank_zero)
        total = total + net(batch).mean()  # saves
    total.backward()


if __name__ == "__main__":
    run()

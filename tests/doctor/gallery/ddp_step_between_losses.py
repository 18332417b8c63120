"""DistributedDataParallel (one process, gloo): a step between two losses of one forward."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

EXPECT = {
    "node": "AddmmBackward0",
    "field": "mat2",
    "shape": [4, 2],
    "dtype": "float32",
    "writers": ["aten::_foreach_add_.List"],
    "saved_version": 2,
    "version": 3,
    "made_by": "leaf",
    "module": "module.2",
}


def run():
    torch.manual_seed(0)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        model = DistributedDataParallel(net)
        opt = torch.optim.SGD(model.parameters(), lr=0.1, foreach=True)
        out = model(torch.randn(8, 3))  # saves
        out[:, 0].mean().backward(retain_graph=True)
        opt.step()  # writes
        out[:, 1].mean().backward()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    run()

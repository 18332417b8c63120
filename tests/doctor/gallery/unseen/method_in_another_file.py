"""The writer is a method of a class in another file, which `also` names."""

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "node": "MmBackward0",
    "field": "mat2",
    "shape": [3, 6],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 0,
    "version": 1,
    "made_by": None,
    "module": None,
    "also": "_bank.py",
}


def load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run():
    torch.manual_seed(0)
    bank = load("_bank").Bank(6, 3)
    encoder = nn.Linear(4, 3)
    z = F.normalize(encoder(torch.randn(2, 4)), dim=1)
    similarity = z @ bank.rows.t()  # saves
    bank.push(z.detach())
    similarity.logsumexp(1).sum().backward()


if __name__ == "__main__":
    run()

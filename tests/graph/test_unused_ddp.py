"""Graph.unused for a module in DistributedDataParallel, which keeps every AccumulateGrad."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

import libgrad

pytestmark = pytest.mark.filterwarnings("ignore")  # gloo and DDP warn about this machine


@pytest.fixture(scope="module", autouse=True)
def _process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(2, 2)
        self.detached = nn.Linear(2, 2, bias=False)
        self.idle = nn.Linear(2, 2, bias=False)
        self.frozen = nn.Linear(2, 2, bias=False).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x) @ self.detached.weight.detach()


def reasons(graph: libgrad.Graph, model: nn.Module) -> dict[str, str]:
    return {param.name.removeprefix("module."): param.reason for param in graph.unused(model)}


@pytest.mark.parametrize("options", [{}, {"find_unused_parameters": True}, {"static_graph": True}])
@pytest.mark.parametrize("recorded", [False, True])
def test_reasons_are_those_of_the_plain_module(options, recorded):
    model = Parts()
    parallel = nn.parallel.DistributedDataParallel(model, **options)
    x = torch.randn(3, 2)
    answers = []
    for module in (Parts(), parallel):
        if recorded:
            with libgrad.record():
                loss = module(x).sum()
        else:
            loss = module(x).sum()
        answers.append(reasons(libgrad.graph(loss), module))
    assert answers[0] == answers[1]
    assert answers[1]["detached.weight"] == "cut"
    assert answers[1]["idle.weight"] == ("module not in graph" if recorded else "no trace")
    assert answers[1]["frozen.weight"] == "frozen"


def test_another_graph_is_still_seen():
    parallel = nn.parallel.DistributedDataParallel(Parts(), find_unused_parameters=True)
    graph = libgrad.graph(parallel(torch.randn(3, 2)).sum())
    other = parallel.module.idle(torch.ones(1, 2))
    (found,) = graph.unused({"idle": parallel.module.idle.weight})
    assert found.reason == "elsewhere"
    assert "another graph was computed from it" in found.text
    del other
    assert graph.unused({"idle": parallel.module.idle.weight})[0].reason == "no trace"


def test_hook_of_a_user_keeps_no_node():
    leaf = torch.ones(2, requires_grad=True)
    graph = libgrad.graph(torch.ones(2, requires_grad=True).exp().sum())
    node = torch.autograd.graph.get_gradient_edge(leaf).node
    node.register_hook(lambda *_: None)
    assert graph.unused({"leaf": leaf})[0].reason == "elsewhere"  # `node` keeps it
    del node

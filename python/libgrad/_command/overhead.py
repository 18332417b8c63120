"""The cost of a call: torch.autograd, libgrad and a loop in C++, measured side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _C, backward, grad

__all__ = ["CASES", "HEADER", "Row", "measure"]


def _four_nodes(device: str) -> tuple[Tensor, list[Tensor]]:
    x = torch.tensor(0.5, device=device, requires_grad=True)
    return (x * x + x).sin(), [x]


def _hundred_nodes(device: str) -> tuple[Tensor, list[Tensor]]:
    x = torch.tensor(0.5, device=device, requires_grad=True)
    y = x
    for _ in range(33):
        y = (y * x + x).sin()
    return y, [x]


def _mlp(device: str) -> tuple[Tensor, list[Tensor]]:
    model = torch.nn.Sequential(
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 1),
    ).to(device)
    return model(torch.randn(64, 256, device=device)).mean(), list(model.parameters())


CASES: dict[str, Callable[[str], tuple[Tensor, list[Tensor]]]] = {
    "4 nodes, scalar": _four_nodes,
    "100 nodes, scalar": _hundred_nodes,
    "MLP 256-256-256-1, batch 64": _mlp,
}

HEADER = (
    "graph",
    "call",
    "torch.autograd",
    "libgrad",
    "C++ loop",
    "torch / libgrad",
    "libgrad / C++",
)


@dataclass(frozen=True)
class Row:
    """The median microseconds per call, and the medians of the ratios in each round."""

    graph: str
    call: str
    torch_us: float
    libgrad_us: float
    cpp_us: float
    torch_over_libgrad: float
    libgrad_over_cpp: float

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of HEADER."""
        return (
            self.graph,
            self.call,
            f"{self.torch_us:.1f} µs",
            f"{self.libgrad_us:.1f} µs",
            f"{self.cpp_us:.1f} µs",
            f"{self.torch_over_libgrad:.2f}",
            f"{self.libgrad_over_cpp:.2f}",
        )


def _timed_grad(function: Callable[..., object], y: Tensor, xs: list[Tensor], n: int) -> float:
    start = time.perf_counter()
    for _ in range(n):
        function(y, xs, retain_graph=True)
    return time.perf_counter() - start


def _timed_backward(function: Callable[..., object], y: Tensor, n: int) -> float:
    start = time.perf_counter()
    for _ in range(n):
        function(y, retain_graph=True)
    return time.perf_counter() - start


def _variants(y: Tensor, xs: list[Tensor], call: str) -> list[Callable[[int], float]]:
    """Return functions that time n calls, in seconds: of torch, of libgrad, and in C++."""
    if call == "grad":
        return [
            lambda n: _timed_grad(torch.autograd.grad, y, xs, n),
            lambda n: _timed_grad(grad, y, xs, n),
            lambda n: _C._demo.time_grad([y], xs, n),
        ]
    return [
        lambda n: _timed_backward(torch.autograd.backward, y, n),
        lambda n: _timed_backward(backward, y, n),
        lambda n: _C._demo.time_backward([y], n),
    ]


def measure(graph: str, call: str, device: str = "cpu", seconds: float = 2.0) -> Row:
    """Measure one row: `call` ("grad" or "backward") on a graph of CASES, on one thread.

    The three variants take turns in short rounds, so that a machine that speeds up or slows down
    does so for all of them. Gradients are cleared between rounds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        y, xs = CASES[graph](device)
        variants = _variants(y, xs, call)
        for variant in variants:
            variant(20)
        calls = max(10, min(300, int(0.012 / (variants[0](10) / 10))))
        rounds: list[list[float]] = []
        end = time.perf_counter() + seconds
        while len(rounds) < 15 or time.perf_counter() < end:
            rounds.append([])
            for variant in variants:
                for x in xs:
                    x.grad = None
                spent = variant(calls)
                if y.is_cuda:
                    torch.cuda.synchronize()
                rounds[-1].append(spent / calls * 1e6)
    finally:
        torch.set_num_threads(threads)
    ours, theirs, cpp = ([r[i] for r in rounds] for i in (1, 0, 2))
    return Row(
        graph,
        call,
        statistics.median(theirs),
        statistics.median(ours),
        statistics.median(cpp),
        statistics.median(t / o for t, o in zip(theirs, ours, strict=True)),
        statistics.median(o / c for o, c in zip(ours, cpp, strict=True)),
    )

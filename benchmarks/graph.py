"""What does a snapshot of the graph cost, for each of its nodes, against a walk in Python?

libgrad.graph(loss) reads every node with all that it saved. The walk in Python follows
next_functions alone, or also reads what Python shows of the same. They take turns on one thread,
whose own time is measured. A chain of a million nodes is not walked in Python: torch overflows the
stack when the nodes' Python objects are dropped. Writes results/graph-<device>.md.

    python benchmarks/graph.py [--device cuda] [--seconds 5]
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from overhead import machine
from torch import Tensor, nn

import libgrad

RESULTS = Path(__file__).parent / "results"
HEADER = (
    *("graph", "nodes", "saved tensors", "snapshot, per node", "walk in Python"),
    *("walk and read", "walk / snapshot", "walk and read / snapshot"),
)
_fields: dict[type, list[str]] = {}


def small_operators(device: str) -> Tensor:
    x = torch.randn(8, device=device, requires_grad=True)
    weights = [torch.randn(8, device=device, requires_grad=True) for _ in range(10)]
    y = x
    for i in range(125):
        y = (y * weights[i % 10] + x).tanh().exp() * 0.01
    return y.sum()


def layers(device: str) -> Tensor:
    parts = [nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.GELU()) for _ in range(60)]
    return nn.Sequential(*parts).to(device)(torch.randn(4, 16, device=device)).sum()


def transformer(device: str) -> Tensor:
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    model = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False).to(device)
    return model(torch.randn(2, 16, 64, device=device)).sum()


def chain(length: int) -> Callable[[str], Tensor]:
    def make(device: str) -> Tensor:
        y = torch.ones(1, device=device, requires_grad=True)
        for _ in range(length):
            y = y.sin()
        return y

    return make


def walk(loss: Tensor) -> list[Any]:
    """Return every node, breadth first."""
    nodes = [loss.grad_fn]
    seen = set(nodes)
    for node in nodes:
        for next, _ in node.next_functions:
            if next is not None and next not in seen:
                seen.add(next)
                nodes.append(next)
    return nodes


def walk_and_read(loss: Tensor) -> dict[int, int]:
    """Do the same and read what the snapshot has, as far as Python shows it; bytes by storage."""
    storages = {}
    for node in walk(loss):
        node.name()
        node._sequence_nr()
        for metadata in node._input_metadata:
            _ = metadata.shape, metadata.dtype, metadata.device
        kind = type(node)
        if kind not in _fields:
            _fields[kind] = [name for name in dir(node) if name.startswith("_raw_saved_")]
        for name in _fields[kind]:
            value = getattr(node, name)
            for saved in value if isinstance(value, tuple) else (value,):
                if saved is not None and (tensor := saved.data) is not None:
                    _ = tensor.shape, tensor.dtype, tensor.device, tensor._version
                    storage = tensor.untyped_storage()
                    storages[storage._cdata] = storage.nbytes()
    return storages


def timed(function: Callable[[Tensor], object], loss: Tensor, calls: int) -> float:
    start = time.thread_time()
    for _ in range(calls):
        function(loss)
    return (time.thread_time() - start) / calls


def measure(name: str, loss: Tensor, in_python: bool, seconds: float) -> tuple[str, ...]:
    variants: list[Callable[[Tensor], object]] = [libgrad.graph]
    if in_python:
        variants += [walk, walk_and_read]
    g = libgrad.graph(loss)
    calls = [max(1, int(0.02 / timed(variant, loss, 1))) for variant in variants]
    gc.disable()  # as timeit does
    rounds: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 3 or time.perf_counter() < end:
        pairs = zip(variants, calls, strict=True)
        rounds.append([timed(variant, loss, n) / len(g) * 1e9 for variant, n in pairs])
    gc.enable()
    cells = [f"{statistics.median(times):,.0f} ns" for times in zip(*rounds, strict=True)]
    ratios = [f"{statistics.median(r[i] / r[0] for r in rounds):.1f}" for i in range(1, len(cells))]
    missing = ["–"] * (3 - len(cells))
    return (name, f"{len(g):,}", f"{len(g.saved):,}", *cells, *missing, *ratios, *missing)


def table(rows: list[tuple[str, ...]]) -> str:
    rule = ("---", *["---:"] * (len(HEADER) - 1))
    return "\n".join("| " + " | ".join(row) + " |" for row in (HEADER, rule, *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases: list[tuple[str, Callable[[str], Tensor], bool]] = [
        ("500 small operators", small_operators, True),
        ("60 × Linear, LayerNorm, GELU", layers, True),
        ("transformer of 12 layers", transformer, True),
        ("chain of 10,000", chain(10_000), True),
        ("chain of 1,000,000", chain(1_000_000), False),
    ]
    rows = []
    for name, make, in_python in cases:
        loss = make(options.device)
        gc.collect()
        rows.append(measure(name, loss, in_python, options.seconds))
        del loss
    text = (
        f"{table(rows)}\n\n{machine(options.device)}, one thread; torch {torch.__version__}, "
        f"libgrad {libgrad.__version__}, Python {platform.python_version()}; {date.today()}. "
        "Medians of interleaved rounds; ratios are medians of the rounds' ratios.\n"
    )
    print(text)
    (RESULTS / f"graph-{options.device}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

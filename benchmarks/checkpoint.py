"""What do checkpoints cost in time, and what do they save in memory?

Each part of a model is a checkpoint of its own: 12 layers of a transformer (sizes 64 and 256), a
perceptron of 16 layers of 512, and 50 parts of two small operators. One step is forward and
backward with gradients that are there already, on one thread, whose own time is measured. Variants:
none; torch's checkpoint with use_reentrant=False and True; libgrad's. They take turns. Peak memory
is what tensors made during one step take at most. Writes
results/checkpoint-<device>.md.

    python benchmarks/checkpoint.py [--device cuda] [--seconds 10]
"""

from __future__ import annotations

import argparse
import functools
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
from torch.utils.checkpoint import checkpoint

import libgrad

RESULTS = Path(__file__).parent / "results"
VARIANTS: dict[str, Callable[..., Any]] = {
    "none": lambda part, x: part(x),
    "torch": functools.partial(checkpoint, use_reentrant=False),
    "torch, re-entrant": functools.partial(checkpoint, use_reentrant=True),
    "libgrad": libgrad.checkpoint,
}
HEADER = (
    *("model", "none", "torch", "torch, re-entrant", "libgrad", "libgrad / torch"),
    *("peak, none", "peak, torch", "peak, libgrad"),
)
Parts = list[Callable[[Tensor], Tensor]]


def transformer(size: int, length: int) -> Callable[[str], tuple[Parts, Tensor]]:
    def make(device: str) -> tuple[Parts, Tensor]:
        def layer() -> nn.Module:
            return nn.TransformerEncoderLayer(size, 4, 4 * size, batch_first=True)

        x = torch.randn(4, length, size, device=device, requires_grad=True)
        return [layer().to(device) for _ in range(12)], x

    return make


def perceptron(device: str) -> tuple[Parts, Tensor]:
    parts = [nn.Sequential(nn.Linear(512, 512), nn.GELU()).to(device) for _ in range(16)]
    return list(parts), torch.randn(256, 512, device=device, requires_grad=True)


def small(device: str) -> tuple[Parts, Tensor]:
    x = torch.randn(8, device=device, requires_grad=True)
    return [lambda y: (y * y).tanh() for _ in range(50)], x


def step(run: Callable[..., Any], parts: Parts, x: Tensor) -> None:
    y = x
    for part in parts:
        y = run(part, y)
    y.square().sum().backward()


def timed(work: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.thread_time()
    work()
    return time.thread_time() - start


def peak(work: Callable[[], None], device: str) -> int:
    if device != "cuda":
        return int(libgrad._C._demo.peak_bytes(work))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


def measure(name: str, parts: Parts, x: Tensor, device: str, seconds: float) -> tuple[str, ...]:
    works = [functools.partial(step, run, parts, x) for run in VARIANTS.values()]
    for work in works:
        work()  # gradients are there
    peaks = [peak(work, device) for work in works]
    rounds: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < end:
        rounds.append([timed(work, device) for work in works])
    times = [f"{statistics.median(t) * 1e3:,.2f} ms" for t in zip(*rounds, strict=True)]
    ratio = statistics.median(r[3] / r[1] for r in rounds)
    sizes = [f"{peaks[i] / 2**20:,.1f} MiB" for i in (0, 1, 3)]
    return (name, *times, f"{ratio:.2f}", *sizes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = {
        "50 × two small operators": small,
        "transformer, 12 × 64, 64 tokens": transformer(64, 64),
        "transformer, 12 × 256, 128 tokens": transformer(256, 128),
        "perceptron, 16 × 512": perceptron,
    }
    rule = ("---", *["---:"] * (len(HEADER) - 1))
    rows = [
        measure(name, *make(options.device), options.device, options.seconds)
        for name, make in models.items()
    ]
    text = "\n".join("| " + " | ".join(row) + " |" for row in (HEADER, rule, *rows)) + (
        f"\n\n{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Medians of "
        "interleaved rounds; the ratio is the median of the rounds' ratios.\n"
    )
    print(text)
    (RESULTS / f"checkpoint-{options.device}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

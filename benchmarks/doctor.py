"""What does it cost to watch who writes to what backward needs?

A forward, and forward with backward, take turns on one thread with the same under libgrad.doctor,
under doctor(silent=True), which compares contents, too, and under torch's detect_anomaly, which
only tells of the reader. "off" is after a doctor has been there and gone. The first call is not
counted, nor is what a doctor takes to come and go (some 20 ms). The models: twelve
operators on eight numbers, two of them in place; a perceptron with an in-place ReLU; a transformer
layer; operators on a million numbers. Ratios are to the model alone. Writes doctor-<device>.md
beside this file.

    python benchmarks/doctor.py [--device cuda] [--seconds 6]
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import torch
from overhead import machine
from torch import nn

import libgrad

HERE = Path(__file__).parent
Forward = Callable[[], torch.Tensor]

VARIANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "alone": nullcontext,
    "off": nullcontext,
    "doctor": libgrad.doctor,
    "doctor(silent=True)": lambda: libgrad.doctor(silent=True),
    "detect_anomaly": lambda: torch.autograd.detect_anomaly(check_nan=False),
}


def forwards(device: str) -> dict[str, Forward]:
    x = torch.randn(8, device=device, requires_grad=True)
    w = torch.randn(8, device=device)
    big = torch.randn(1_000_000, device=device, requires_grad=True)

    def twelve() -> torch.Tensor:
        a = x * w + 1
        b = (a.exp() * 2).sin().clone()
        b.add_(1)
        c = (b * w).tanh() + a
        c.mul_(2)
        return c.sum()

    layers = [nn.Linear(256, 256), nn.ReLU(inplace=True), nn.Linear(256, 256)]
    perceptron = nn.Sequential(*layers).to(device)
    few = torch.randn(64, 256, device=device)
    transformer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0).to(device)
    words = torch.randn(32, 8, 256, device=device)
    return {
        "12 operators on 8 numbers": twelve,
        "perceptron, 256 wide": lambda: perceptron(few).sum(),
        "transformer layer, 256 wide": lambda: transformer(words).sum(),
        "3 operators on 1,000,000 numbers": lambda: (big.sin() * big).exp().mean(),
    }


def timed(run: Callable[[], object], calls: int, device: str) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls * 1e6


def row(name: str, run: Callable[[], object], device: str, seconds: float) -> str:
    timed(run, 20, device)
    calls = max(20, int(60_000 / timed(run, 10, device)))
    rounds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    gc.disable()  # as timeit does
    end = time.perf_counter() + seconds
    while len(rounds["alone"]) < 7 or time.perf_counter() < end:
        for variant, context in VARIANTS.items():
            if variant == "off":
                with libgrad.doctor():
                    pass
            with context():
                run()  # the first call finds its memory and code cold
                rounds[variant].append(timed(run, calls, device))
    gc.enable()
    cells = [name, f"{statistics.median(rounds['alone']):,.0f} µs"]
    for variant in list(VARIANTS)[1:]:
        pairs = zip(rounds[variant], rounds["alone"], strict=True)
        cells.append(f"{statistics.median(with_it / alone for with_it, alone in pairs):.2f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=6, help="for each row (default 6)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of detect_anomaly
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [f"| | {' | '.join(VARIANTS)} |", "|---|" + "---:|" * len(VARIANTS)]
    for name, forward in forwards(options.device).items():
        both = lambda forward=forward: forward().backward()
        for what, run in ((f"{name}, forward", forward), (f"{name}, and backward", both)):
            lines.append(row(what, run, options.device, options.seconds))
    lines += [
        "",
        f"{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Ratios to the "
        "model alone: medians of interleaved rounds.",
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (HERE / f"doctor-{options.device}.md").write_text(table)


if __name__ == "__main__":
    main()

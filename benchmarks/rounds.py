"""Rounds in which contexts take turns around the same work; shared by benchmarks."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

Contexts = Mapping[str, Callable[[], AbstractContextManager[Any]]]


def timed(run: Callable[[], object], calls: int, device: str) -> float:
    """Return microseconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls * 1e6


def row(
    name: str,
    run: Callable[[], object],
    contexts: Contexts,
    round_us: float,
    device: str,
    seconds: float,
) -> str:
    """Return a row: the median of `run` in the first context, and the others' ratios to it."""
    timed(run, 20, device)
    calls = max(1, int(round_us / timed(run, 10, device)))
    rounds: dict[str, list[float]] = {variant: [] for variant in contexts}
    first, *others = contexts
    gc.disable()  # as timeit does
    end = time.perf_counter() + seconds
    while len(rounds[first]) < 7 or time.perf_counter() < end:
        for variant, context in contexts.items():
            with context():
                run()  # the first call finds its memory and code cold
                rounds[variant].append(timed(run, calls, device))
    gc.enable()
    cells = [name, f"{statistics.median(rounds[first]):,.0f} µs"]
    for variant in others:
        pairs = zip(rounds[variant], rounds[first], strict=True)
        cells.append(f"{statistics.median(with_it / alone for with_it, alone in pairs):.2f}")
    return "| " + " | ".join(cells) + " |"

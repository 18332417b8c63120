"""How long does gradcheck take: torch's against libgrad's, with the same checks on?

torch.autograd.gradcheck and libgrad.gradcheck of one function take turns on one thread, slow (the
whole Jacobian) and fast (one random product), with the checks that are on by default and without
check_undefined_grad. The functions, in double precision: tanh(W x + b) sin(x) of 8 and of 64
numbers, and one of three inputs and three outputs. Writes results/gradcheck-<device>.md.

    python benchmarks/gradcheck.py [--device cuda] [--seconds 10]
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from overhead import machine

import libgrad

RESULTS = Path(__file__).parent / "results"
HEADER = ("function", "mode", "checks", "torch", "libgrad", "torch / libgrad")
Case = tuple[Callable[..., Any], tuple[torch.Tensor, ...]]


def layer(size: int, device: str) -> Case:
    options: dict[str, Any] = {"dtype": torch.double, "device": device}
    weight = torch.randn(size, size, **options) / size**0.5
    bias = torch.randn(size, **options)
    x = torch.randn(size, **options).requires_grad_()
    return lambda x: torch.tanh(weight @ x + bias) * torch.sin(x), (x,)


def several(device: str) -> Case:
    def leaf(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.double, device=device, requires_grad=True)

    inputs = leaf(4, 3), leaf(3, 5), leaf(5)
    return lambda a, b, c: (torch.tanh(a @ b) * c, (a * a).sum(0), b.exp()), inputs


@dataclass(frozen=True)
class Row:
    """Seconds per call of each round, torch's and libgrad's."""

    name: str
    fast: bool
    undefined: bool
    rounds: list[tuple[float, float]]

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of HEADER."""
        theirs, ours = (statistics.median(r[i] for r in self.rounds) * 1e6 for i in range(2))
        return (
            self.name,
            "fast" if self.fast else "slow",
            "default" if self.undefined else "no check_undefined_grad",
            f"{theirs:,.0f} µs",
            f"{ours:,.0f} µs",
            f"{statistics.median(t / o for t, o in self.rounds):.2f}",
        )


def timed(check: Callable[[], bool], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        check()
    return (time.perf_counter() - start) / calls


def measure(name: str, case: Case, fast: bool, undefined: bool, seconds: float) -> Row:
    function, inputs = case
    options: dict[str, Any] = {"fast_mode": fast, "check_undefined_grad": undefined}
    checks: list[Callable[[], bool]] = [
        lambda: torch.autograd.gradcheck(function, inputs, **options),
        lambda: libgrad.gradcheck(function, inputs, **options),
    ]
    calls = [max(1, int(0.02 / max(timed(check, 3), 1e-6))) for check in checks]
    gc.disable()  # as timeit does
    rounds: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 15 or time.perf_counter() < end:
        theirs, ours = (timed(c, n) for c, n in zip(checks, calls, strict=True))
        rounds.append((theirs, ours))
    gc.enable()
    return Row(name, fast, undefined, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=10, help="for each row (default 10)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cases = {
        "8 → 8": layer(8, options.device),
        "64 → 64": layer(64, options.device),
        "3 inputs, 3 outputs": several(options.device),
    }
    rows = [
        measure(name, case, fast, undefined, options.seconds)
        for name, case in cases.items()
        for fast in (False, True)
        for undefined in (True, False)
    ]
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---|---|---:|---:|---:|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += [
        "",
        f"{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Medians of "
        "interleaved rounds; ratios are medians of the rounds' ratios.",
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (RESULTS / f"gradcheck-{options.device}.md").write_text(table)


if __name__ == "__main__":
    main()

"""How much does it cost to call a C++ Function from Python?

x * x as a C++ torch::autograd::Function, bound by def_function, takes turns on one thread with
the same Function called in a C++ loop and with the same function as a torch.autograd.Function in
Python: `apply` alone, and `apply` followed by the gradient (libgrad.grad, torch::autograd::grad,
torch.autograd.grad). On a scalar the call is all there is; on 65,536 numbers it hardly matters.
Writes results/function-<device>.md.

    python benchmarks/function.py [--device cuda] [--seconds 10]
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
HEADER = (
    "numbers",
    "call",
    "torch.autograd.Function",
    "def_function",
    "C++ loop",
    "torch / libgrad",
    "libgrad / C++",
)
demo = libgrad._C._demo


class Square(torch.autograd.Function):
    """What the C++ Square of the extension is, in Python."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # noqa: D102
        (x,) = ctx.saved_tensors
        return grad * x * 2


@dataclass(frozen=True)
class Row:
    """Microseconds per call of each round: torch's class, libgrad's binding, C++."""

    numbers: int
    call: str
    rounds: list[tuple[float, float, float]]

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of HEADER."""
        torch_us, ours_us, cpp_us = (statistics.median(r[i] for r in self.rounds) for i in range(3))
        return (
            f"{self.numbers:,}",
            self.call,
            f"{torch_us:.2f} µs",
            f"{ours_us:.2f} µs",
            f"{cpp_us:.2f} µs",
            f"{statistics.median(t / o for t, o, _ in self.rounds):.2f}",
            f"{statistics.median(o / c for _, o, c in self.rounds):.2f}",
        )


def timed(function: Callable[..., Any], x: torch.Tensor, n: int) -> float:
    start = time.perf_counter()
    for _ in range(n):
        function(x)
    return time.perf_counter() - start


def timed_with_grad(
    function: Callable[..., Any], grad: Callable[..., Any], x: torch.Tensor, v: Any, n: int
) -> float:
    start = time.perf_counter()
    for _ in range(n):
        grad(function(x), x, v)
    return time.perf_counter() - start


def measure(numbers: int, differentiate: bool, device: str, seconds: float) -> Row:
    x = torch.rand(() if numbers == 1 else numbers, device=device, requires_grad=True)
    v = torch.ones_like(x)

    variants: list[Callable[[int], float]] = [
        lambda n: timed(Square.apply, x, n),
        lambda n: timed(demo.square, x, n),
        lambda n: demo.time_square(x, None, n),
    ]
    if differentiate:
        variants = [
            lambda n: timed_with_grad(Square.apply, torch.autograd.grad, x, v, n),
            lambda n: timed_with_grad(demo.square, libgrad.grad, x, v, n),
            lambda n: demo.time_square(x, v, n),
        ]
    for variant in variants:
        variant(50)
    calls = max(300, min(2000, int(0.01 / (variants[0](50) / 50))))
    gc.disable()  # as timeit does
    rounds: list[tuple[float, float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 15 or time.perf_counter() < end:
        spent = []
        for variant in variants:
            elapsed = variant(calls)
            if device == "cuda":
                torch.cuda.synchronize()
            spent.append(elapsed / calls * 1e6)
        rounds.append((spent[0], spent[1], spent[2]))
    gc.enable()
    return Row(numbers, "apply + grad" if differentiate else "apply", rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=10, help="for each row (default 10)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        measure(numbers, differentiate, options.device, options.seconds)
        for numbers in (1, 65536)
        for differentiate in (False, True)
    ]
    lines = ["| " + " | ".join(HEADER) + " |", "|---:|---|" + "---:|" * (len(HEADER) - 2)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += [
        "",
        f"{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Medians of "
        "interleaved rounds; ratios are medians of the rounds' ratios.",
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (RESULTS / f"function-{options.device}.md").write_text(table)


if __name__ == "__main__":
    main()

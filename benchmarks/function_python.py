"""How much does a Function that is written in Python cost: torch's class against libgrad's?

The same classes over torch.autograd.Function and over libgrad.Function take turns on one thread,
on scalars, where the call is all there is: `apply` alone (with and without a graph to record),
and `apply` followed by the gradient, by torch.autograd.grad and by libgrad.grad. Writes
results/function_python-cpu.md.

    python benchmarks/function_python.py [--seconds 10]
"""

from __future__ import annotations

import argparse
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
HEADER = ("function", "call", "torch", "libgrad", "libgrad / torch")


def define(base: Any) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Return `apply` of three Functions over `base`, and arguments for each."""

    class Square(base):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x * 2

    class Affine(base):
        @staticmethod
        def forward(ctx, x, w, b, k):
            ctx.save_for_backward(x, w)
            ctx.k = k
            return x * w + b

        @staticmethod
        def backward(ctx, g):
            x, w = ctx.saved_tensors
            return g * w, g * x, g, None

    class SetUp(base):
        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        backward = Square.backward

    x, w, b = (torch.tensor(v, requires_grad=True) for v in (0.5, 2.0, 1.0))
    return {
        "1 tensor": (Square.apply, (x,)),
        "3 tensors and an int": (Affine.apply, (x, w, b, 3)),
        "1 tensor, setup_context": (SetUp.apply, (x,)),
    }


@dataclass(frozen=True)
class Row:
    """Medians of microseconds per call, and the median of the ratios round by round."""

    function: str
    call: str
    torch_us: float
    libgrad_us: float
    libgrad_over_torch: float

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of HEADER."""
        times = f"{self.torch_us:.1f} µs", f"{self.libgrad_us:.1f} µs"
        return self.function, self.call, *times, f"{self.libgrad_over_torch:.2f}"


def timed(call: Callable[[], object], n: int) -> float:
    start = time.perf_counter()
    for _ in range(n):
        call()
    return (time.perf_counter() - start) / n * 1e6


def compare(
    theirs: Callable[[], object], ours: Callable[[], object], seconds: float
) -> list[float]:
    """Return the medians of both and of their ratio, in interleaved rounds."""
    n = max(10, int(0.01 / (timed(theirs, 50) * 1e-6)))
    timed(ours, 50)
    rounds: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < 15 or time.perf_counter() < end:
        rounds.append((timed(theirs, n), timed(ours, n)))
    columns = [*zip(*rounds, strict=True), [o / t for t, o in rounds]]
    return [statistics.median(column) for column in columns]


def measure(function: str, call: str, seconds: float = 2.0) -> Row:
    """Measure one row: `call` ("apply", "apply, no grad" or "apply + grad") on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        (theirs, args), (ours, ours_args) = (
            define(base)[function] for base in (torch.autograd.Function, libgrad.Function)
        )
        xs, ours_xs = (
            [a for a in arguments if isinstance(a, torch.Tensor)] for arguments in (args, ours_args)
        )
        if call == "apply + grad":
            medians = compare(
                lambda: torch.autograd.grad(theirs(*args), xs),
                lambda: libgrad.grad(ours(*ours_args), ours_xs),
                seconds,
            )
        else:
            with torch.set_grad_enabled(call == "apply"):
                medians = compare(lambda: theirs(*args), lambda: ours(*ours_args), seconds)
    finally:
        torch.set_num_threads(threads)
    return Row(function, call, *medians)


def markdown(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---|---:|---:|---:|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += [
        "",
        f"{machine('cpu')}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Medians of "
        "interleaved rounds; ratios are medians of the rounds' ratios. `grad` is "
        "torch.autograd.grad and libgrad.grad.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="for each row (default 10)")
    options = parser.parse_args()
    rows = [
        measure(function, call, options.seconds)
        for function in define(torch.autograd.Function)
        for call in ("apply", "apply, no grad", "apply + grad")
    ]
    table = markdown(rows)
    print(table)
    (RESULTS / "function_python-cpu.md").write_text(table)


if __name__ == "__main__":
    main()

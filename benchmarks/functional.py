"""How fast are Jacobians, Hessians and products, and how much memory do they take?

Each row is one call: libgrad.functional takes turns, in short rounds on one thread, with every way
that torch.autograd.functional and torch.func have to the same result. The ratio is that of the
fastest of them to libgrad. Peak memory is what tensors made during one call take at most. The last
rows are of the same call from C++, without Python. Writes
results/functional-<device>.md and .png.

    python benchmarks/functional.py [--device cuda] [--seconds 4] [--only J H]
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from functional_cases import OURS, Variants, other_cases, square_cases
from overhead import machine

import libgrad

mpl.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parent / "results"
HEADER = ("call", "libgrad", "fastest of torch", "ratio", "others", "peak memory", "of the fastest")
ours = libgrad.functional


@dataclass(frozen=True)
class Row:
    """Microseconds per call of each variant, round by round, and bytes at the peak."""

    call: str
    rounds: dict[str, list[float]]
    peaks: dict[str, int]

    def ratio(self, name: str) -> float:
        """Return how many times longer than libgrad the variant `name` takes."""
        pairs = zip(self.rounds[name], self.rounds[OURS], strict=True)
        return statistics.median(other / mine for other, mine in pairs)

    @property
    def fastest(self) -> str:
        """Return the fastest variant of the others."""
        return min((name for name in self.rounds if name != OURS), key=self.ratio)

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, in the order of HEADER."""
        best = self.fastest
        rest = sorted(self.rounds.keys() - {OURS, best}, key=self.ratio)
        return (
            self.call,
            f"{statistics.median(self.rounds[OURS]):,.0f} µs",
            f"{statistics.median(self.rounds[best]):,.0f} µs, {best}",
            f"**{self.ratio(best):.2f}**",
            ", ".join(f"{name} {self.ratio(name):.1f}" for name in rest),
            f"{self.peaks[OURS] / 1024:,.0f} KiB",
            f"{self.peaks[best] / 1024:,.0f} KiB",
        )


def timed(function: Callable[[], Any], calls: int, device: str) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / calls * 1e6


def usable(variants: Variants) -> Variants:
    """Return those that run: forward mode is missing in some places."""
    works = {}
    for name, function in variants.items():
        try:
            function()
        except RuntimeError:  # NotImplementedError is one
            if name == OURS:
                raise
        else:
            works[name] = function
    return works


def measure(call: str, variants: Variants, device: str, seconds: float) -> Row:
    variants = usable(variants)
    calls = {
        name: max(1, int(10_000 / timed(function, 2, device)))
        for name, function in variants.items()
    }
    rounds: dict[str, list[float]] = {name: [] for name in variants}
    gc.disable()  # as timeit does
    end = time.perf_counter() + seconds
    while len(rounds[OURS]) < 7 or time.perf_counter() < end:
        for name, function in variants.items():
            rounds[name].append(timed(function, calls[name], device))
    gc.enable()
    peaks = {name: libgrad._C._demo.peak_bytes(f) for name, f in variants.items()}
    return Row(call, rounds, peaks)


def compare_with_cpp(device: str, seconds: float) -> list[str]:
    """Return a line for each of J and H from C++ against the same from Python."""
    lines = []
    for n in (8, 64):
        w, b = torch.randn(n, n, device=device) / n, torch.randn(n, device=device)
        x = torch.randn(n, device=device)

        def f(t: torch.Tensor, w: torch.Tensor = w, b: torch.Tensor = b) -> torch.Tensor:
            return torch.tanh(w @ t + b) * torch.sin(t)

        calls: dict[str, tuple[Callable[[], Any], bool]] = {
            "J": (lambda f=f, x=x: ours.jacobian(f, x), False),
            "H": (lambda f=f, x=x: ours.hessian(lambda t: f(t).sum(), x), True),
        }
        for name, (python, second) in calls.items():
            pairs = []
            end = time.perf_counter() + seconds
            while len(pairs) < 15 or time.perf_counter() < end:
                mine = timed(python, 50, device)
                cpp = libgrad._C._demo.time_matrix(x, w, b, second, 50) / 50 * 1e6
                pairs.append((mine, cpp))
            from_python, from_cpp = (statistics.median(p[i] for p in pairs) for i in (0, 1))
            ratio = statistics.median(mine / cpp for mine, cpp in pairs)
            lines.append(
                f"| {name}, n = {n} | {from_python:,.0f} µs | {from_cpp:,.0f} µs | {ratio:.2f} |"
            )
    return lines


def picture(rows: list[Row], path: Path, device: str) -> None:
    figure, axis = plt.subplots(figsize=(9, 0.36 * len(rows) + 1.2))
    for i, row in enumerate(rows):
        ratio = row.ratio(row.fastest)
        bar = axis.barh(i, ratio, 0.6, color="#ee4c2c" if ratio >= 1 else "#b8b8b8")
        axis.bar_label(bar, [f"{ratio:.2f}  {row.fastest}"], fontsize=8, padding=3)
    axis.axvline(1, color="#30404d", linewidth=1)
    axis.set_yticks(range(len(rows)), [row.call for row in rows])
    axis.invert_yaxis()
    axis.margins(x=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("how many times longer the fastest way of torch takes")
    axis.set_title(f"libgrad.functional, one thread, {machine(device)}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=4, help="for each row (default 4)")
    parser.add_argument("--only", nargs="*", default=[], help="rows that begin so; writes nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # torch's own on vectorize
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for call, make in {**square_cases(options.device), **other_cases(options.device)}.items():
        if not options.only or any(call.startswith(prefix) for prefix in options.only):
            rows.append(measure(call, make(), options.device, options.seconds))
            print(" | ".join(rows[-1].cells()), flush=True)
    if options.only:
        return
    lines = ["| " + " | ".join(HEADER) + " |", "|---|---:|---|---:|---|---:|---:|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += ["", "| call | from Python | from C++ | ratio |", "|---|---:|---:|---:|"]
    lines += compare_with_cpp(options.device, options.seconds)
    lines += [
        "",
        f"{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Medians of "
        "interleaved rounds; ratios are medians of the rounds' ratios, of the fastest of torch to "
        "libgrad. Others: their ratios.",
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (RESULTS / f"functional-{options.device}.md").write_text(table)
    picture(rows, RESULTS / f"functional-{options.device}.png", options.device)


if __name__ == "__main__":
    main()

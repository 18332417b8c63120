"""What does it cost to record where nodes come from?

A forward takes turns, on one thread, with the same forward under libgrad.record and under what of
torch sees each call, too: torch.autograd.detect_anomaly (which keeps a traceback for each node), a
TorchDispatchMode that does nothing, and torch.profiler with stacks. The forwards: twelve operators
on eight numbers, a perceptron of four small layers, and a transformer layer. Ratios are to the
forward alone. Writes results/record-<device>.md.

    python benchmarks/record.py [--device cuda] [--seconds 8]
"""

from __future__ import annotations

import argparse
import platform
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import torch
from overhead import machine
from rounds import row
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import libgrad

RESULTS = Path(__file__).parent / "results"
Forward = Callable[[], torch.Tensor]


class SeesCalls(TorchDispatchMode):
    """Does with each call what would be done anyway."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return function(*args, **(kwargs or {}))


def profiler() -> AbstractContextManager[Any]:
    return torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], with_stack=True)


VARIANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "alone": nullcontext,
    "libgrad.record": libgrad.record,
    "TorchDispatchMode": SeesCalls,
    "detect_anomaly": lambda: torch.autograd.detect_anomaly(check_nan=False),
    "profiler": profiler,
}


def forwards(device: str) -> dict[str, Forward]:
    x = torch.randn(8, device=device, requires_grad=True)
    w = torch.randn(8, 8, device=device)

    def twelve() -> torch.Tensor:
        y = torch.tanh(w @ x + 1) * torch.sin(x)
        return ((y.exp() + x) * 2 - 1).relu().cos().sum()

    layers = [layer for _ in range(4) for layer in (nn.Linear(8, 8), nn.Tanh())]
    perceptron = nn.Sequential(*layers).to(device)
    few = torch.randn(2, 8, device=device)
    transformer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0).to(device)
    words = torch.randn(32, 8, 256, device=device)
    return {
        "12 operators on 8 numbers": twelve,
        "perceptron, 8 modules of 8 numbers": lambda: perceptron(few),
        "transformer layer, 256 wide": lambda: transformer(words),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=8, help="for each row (default 8)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of detect_anomaly
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [f"| forward | {' | '.join(VARIANTS)} |", "|---|" + "---:|" * len(VARIANTS)]
    for name, forward in forwards(options.device).items():
        lines.append(row(name, forward, VARIANTS, 10_000, options.device, options.seconds))
    lines += [
        "",
        f"{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Ratios to the "
        "forward alone: medians of interleaved rounds.",
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (RESULTS / f"record-{options.device}.md").write_text(table)


if __name__ == "__main__":
    main()

"""What does a hook cost for each tensor that is saved and unpacked?

mul and tanh save 150 tensors of eight numbers; forward and backward run on one thread, whose own
time is measured. The hooks leave tensors as they are. Variants: no hooks; torch's, whose pack
returns tensor.detach(), as its documentation says; libgrad's of C++ (compress to the dtype that the
tensors have), the same asked `only`, and libgrad's of Python with an option. They take turns.
Writes results/hooks-cpu.md.

    python benchmarks/hooks.py [--seconds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from overhead import machine
from torch import Tensor

import libgrad

RESULTS = Path(__file__).parent / "results"
TENSORS = 150  # mul saves two, tanh one


def variants() -> dict[str, Callable[[], Any]]:
    def pack(tensor: Tensor) -> Tensor:
        return tensor.detach()

    def unpack(tensor: Tensor) -> Tensor:
        return tensor

    return {
        "none": contextlib.nullcontext,
        "torch": lambda: torch.autograd.graph.saved_tensors_hooks(pack, unpack),
        "libgrad, of C++": lambda: libgrad.compress(torch.float32),
        "libgrad, of C++, `only`": lambda: libgrad.compress(
            torch.float32, only=lambda op, tensor: True
        ),
        "libgrad, of Python, `compose`": lambda: libgrad.saved_tensors_hooks(
            pack, unpack, compose=True
        ),
    }


def timed(hooks: Callable[[], Any], x: Tensor) -> float:
    start = time.thread_time()
    with hooks():
        y = x
        for _ in range(TENSORS // 3):
            y = (y * x).tanh()
        loss = y.sum()
    torch.autograd.grad(loss, x)
    return time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.randn(8, requires_grad=True)
    made = variants()
    rounds: list[list[float]] = []
    end = time.perf_counter() + options.seconds
    while len(rounds) < 10 or time.perf_counter() < end:
        rounds.append([timed(hooks, x) for hooks in made.values()])
    costs = [[(t - r[0]) / TENSORS * 1e9 for t in r] for r in rounds]
    medians = [statistics.median(column) for column in zip(*costs, strict=True)]
    lines = ["| hooks | a tensor | of torch's |", "| --- | ---: | ---: |"]
    for name, median in list(zip(made, medians, strict=True))[1:]:
        lines.append(f"| {name} | {median:,.0f} ns | {median / medians[1]:.2f} |")
    text = "\n".join(lines) + (
        f"\n\n{machine('cpu')}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. What a hook "
        f"adds to forward and backward; medians of {len(rounds)} interleaved rounds.\n"
    )
    print(text)
    (RESULTS / "hooks-cpu.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""What does it cost to watch who writes to what backward needs?

A forward, and forward with backward, take turns on one thread with the same under libgrad.doctor,
under doctor(silent=True), which compares contents, too, and under torch's detect_anomaly, which
only tells of the reader. "off" is after a doctor has been there and gone. The first call is not
counted, nor is what a doctor takes to come and go (some 20 ms). The models: twelve
operators on eight numbers, two of them in place; a perceptron with an in-place ReLU; a transformer
layer; operators on a million numbers. Ratios are to the model alone. Writes
results/doctor-<device>.md.

    python benchmarks/doctor.py [--device cuda] [--seconds 6]
"""

from __future__ import annotations

import argparse
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import torch
from overhead import machine
from rounds import row
from torch import nn

import libgrad

RESULTS = Path(__file__).parent / "results"
Forward = Callable[[], torch.Tensor]


@contextmanager
def after_a_doctor() -> Iterator[None]:
    with libgrad.doctor():
        pass
    yield


VARIANTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "alone": nullcontext,
    "off": after_a_doctor,
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
            lines.append(row(what, run, VARIANTS, 60_000, options.device, options.seconds))
    lines += [
        "",
        f"{machine(options.device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Ratios to the "
        "model alone: medians of interleaved rounds.",
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    (RESULTS / f"doctor-{options.device}.md").write_text(table)


if __name__ == "__main__":
    main()

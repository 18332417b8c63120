"""What does a C++ program wait for libgrad's headers, on top of LibTorch's own?

A file that includes one header and does nothing else is compiled, optimized and unoptimized; the
time is that of the compiler's process (user and system, so that other programs on the machine
count little). The files take turns; a ratio is the median of the rounds' ratios to the file that
includes what LibTorch has for the same purpose. Writes results/compile_time-cpu.md.

    python benchmarks/compile_time.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sysconfig
import tempfile
from datetime import date
from pathlib import Path

import torch
from overhead import machine

import libgrad

RESULTS = Path(__file__).parent / "results"
TORCH = Path(torch.__file__).parent / "include"
GRAD = ("torch/csrc/autograd/autograd.h",)
PYTHON = ("torch/csrc/utils/pybind.h", "torch/csrc/autograd/custom_function.h")
CASES = [  # a header, what LibTorch has for its purpose, and the ratio that is to be reached
    ("libgrad/grad.h", GRAD, 1.3),
    ("libgrad/libgrad.h", GRAD, 2.0),
    ("libgrad/python.h", PYTHON, 1.3),
]


def compiled(headers: tuple[str, ...], folder: Path, optimize: str) -> float:
    """Return the seconds that a file takes the compiler which includes `headers`."""
    source = folder / "program.cpp"
    source.write_text("".join(f"#include <{header}>\n" for header in headers))
    command = [
        *(os.environ.get("CXX", "c++"), "-std=c++20", optimize, "-fPIC", "-fvisibility=hidden"),
        *("-isystem", libgrad.include_dir(), "-isystem", TORCH),
        *("-isystem", TORCH / "torch/csrc/api/include"),
        *("-isystem", sysconfig.get_path("include")),
        *("-c", source, "-o", folder / "program.o"),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def table(rounds: int) -> str:
    """Measure, and return the results as Markdown."""
    kinds = {headers for header, theirs, _ in CASES for headers in ((header,), theirs)}
    levels = ("-O0", "-O2")
    seconds: dict[tuple[tuple[str, ...], str], list[float]] = {
        (headers, level): [] for headers in kinds for level in levels
    }
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for headers, level in seconds:
                seconds[headers, level].append(compiled(headers, Path(folder), level))
    lines = [
        "| a file that includes | beside | | LibTorch | libgrad | libgrad / LibTorch | bar |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for header, theirs, bar in CASES:
        for level in levels:
            ours, base = seconds[(header,), level], seconds[theirs, level]
            ratio = statistics.median(a / b for a, b in zip(ours, base, strict=True))
            lines.append(
                f"| `<{header}>` | {' and '.join(f'`<{h}>`' for h in theirs)} | {level} "
                f"| {statistics.median(base):.1f} s | {statistics.median(ours):.1f} s "
                f"| {ratio:.2f} | {bar} |"
            )
    compiler = subprocess.run(
        [os.environ.get("CXX", "c++"), "--version"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[0]
    lines += [
        "",
        f"{machine('cpu')}; {compiler}; torch {torch.__version__}, libgrad {libgrad.__version__}, "
        f"Python {platform.python_version()}; {date.today()}. Medians of {rounds} rounds.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    text = table(parser.parse_args().rounds)
    print(text)
    (RESULTS / "compile_time-cpu.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""How much does a call of `grad` or `backward` cost on top of LibTorch's own work?

Three variants of the same call take turns on one thread: torch.autograd from Python, libgrad
from Python, and a loop in C++ that calls torch::autograd::grad or ::backward. The graphs: one of
4 nodes and one of 100 nodes on a scalar, where the call is all there is, and a perceptron of
width 256 with a batch of 64, where it hardly matters. Writes
results/overhead-<device>.md and .png; the table of the CPU goes into the README as well.

    python benchmarks/overhead.py [--device cuda] [--seconds 10]
"""

from __future__ import annotations

import argparse
import platform
from datetime import date
from pathlib import Path

import matplotlib as mpl
import torch

import libgrad
from libgrad._command import overhead as _overhead

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- overhead: benchmarks/results/overhead-cpu.md -->", "<!-- /overhead -->"


def machine(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def markdown(rows: list[_overhead.Row], device: str) -> str:
    lines = ["| " + " | ".join(_overhead.HEADER) + " |"]
    lines.append("|---|---|" + "---:|" * (len(_overhead.HEADER) - 2))
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += [
        "",
        f"{machine(device)}, one thread; torch {torch.__version__}, libgrad "
        f"{libgrad.__version__}, Python {platform.python_version()}; {date.today()}. Medians of "
        "interleaved rounds; ratios are medians of the rounds' ratios.",
    ]
    return "\n".join(lines) + "\n"


def picture(rows: list[_overhead.Row], path: Path, device: str) -> None:
    figure, axes = plt.subplots(1, len(_overhead.CASES), figsize=(11, 3.4))
    colours = {"torch.autograd": "#b8b8b8", "libgrad": "#ee4c2c", "C++ loop": "#30404d"}
    for axis, graph in zip(axes, _overhead.CASES, strict=True):
        for i, row in enumerate(row for row in rows if row.graph == graph):
            values = (row.torch_us, row.libgrad_us, row.cpp_us)
            for j, (name, value) in enumerate(zip(colours, values, strict=True)):
                bar = axis.bar(i + (j - 1) * 0.27, value, 0.25, color=colours[name])
                axis.bar_label(bar, fmt="%.0f", fontsize=8)
        axis.set_xticks([0, 1], ["grad", "backward"])
        axis.set_title(graph, fontsize=10)
        axis.margins(y=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("µs per call")
    handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in colours.values()]
    figure.legend(handles, colours, ncols=3, loc="lower center", frameon=False)
    figure.suptitle(f"One call, one thread, {machine(device)}", fontsize=11)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, dpi=130)


def put_into_readme(table: str) -> None:
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    readme.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=10, help="for each row (default 10)")
    options = parser.parse_args()
    rows = [
        _overhead.measure(graph, call, options.device, options.seconds)
        for graph in _overhead.CASES
        for call in ("grad", "backward")
    ]
    table = markdown(rows, options.device)
    print(table)
    (RESULTS / f"overhead-{options.device}.md").write_text(table)
    if options.device == "cpu":
        put_into_readme(table)
    picture(rows, RESULTS / f"overhead-{options.device}.png", options.device)


if __name__ == "__main__":
    main()

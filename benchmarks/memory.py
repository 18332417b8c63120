"""What does each way to save memory take in time? One transformer, trained by each.

12 layers of size 256 with 4 heads, 4 sequences of 128 tokens, dropout 0.1. One step is forward and
backward with gradients that are there already, on one thread, whose own time is measured. The ways
take turns. Peak memory is what tensors made during one step take at most. Writes
results/memory-<device>.md and .png; docs/memory.md has those of the CPU.

    python benchmarks/memory.py [--device cuda] [--seconds 60]
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
import torch.nn.functional as F
from checkpoint import peak, timed
from overhead import machine
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import libgrad

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- memory: benchmarks/results/memory-cpu.md -->", "<!-- /memory -->"
LAYERS, SIZE, HEADS, LENGTH, BATCH = 12, 256, 4, 128, 4


class Layer(nn.Module):
    """One layer, which names what its matrix products make."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(SIZE), nn.LayerNorm(SIZE)
        self.qkv, self.out = nn.Linear(SIZE, 3 * SIZE), nn.Linear(SIZE, SIZE)
        self.up, self.down = nn.Linear(SIZE, 4 * SIZE), nn.Linear(4 * SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer makes of `x`, batch × tokens × size."""
        qkv = libgrad.name(self.qkv(self.norm1(x)), "qkv")
        q, k, v = qkv.view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scores = torch.softmax(q @ k.mT / (SIZE / HEADS) ** 0.5, -1)
        mixed = libgrad.name(F.dropout(scores, 0.1) @ v, "mixed")
        mixed = self.out(mixed.transpose(1, 2).reshape(x.shape))
        x = x + F.dropout(libgrad.name(mixed, "out"), 0.1)
        up = libgrad.name(self.up(self.norm2(x)), "up")
        return x + F.dropout(self.down(F.gelu(up)), 0.1)


Run = Callable[[list[nn.Module], Tensor], Tensor]


def through(layers: list[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def each(run: Callable[..., Tensor]) -> Run:
    """Run each layer by `run`."""

    def all_layers(layers: list[nn.Module], x: Tensor) -> Tensor:
        for layer in layers:
            x = run(layer, x)
        return x

    return all_layers


def under(hooks: Callable[[], Any], run: Run = through) -> Run:
    def inside(layers: list[nn.Module], x: Tensor) -> Tensor:
        with hooks():
            return run(layers, x)

    return inside


def ways(device: str, layers: list[nn.Module], x: Tensor, folder: str) -> dict[str, Run]:
    def optimal(**memory: Any) -> Run:
        return lambda layers, x: libgrad.checkpoint_optimal(layers, x, **memory)

    def keep(*names: str) -> Run:
        return each(functools.partial(libgrad.checkpoint, save=names))

    costs = libgrad.measure_chain(layers, x)
    whole = peak(functools.partial(step, through, layers, x), device)
    found = {
        "nothing": through,
        "checkpoint, torch's": each(functools.partial(checkpoint, use_reentrant=False)),
        "checkpoint": each(libgrad.checkpoint),
        'checkpoint, save=("out", "mixed")': keep("out", "mixed"),
        'checkpoint, save=("out", "mixed", "qkv")': keep("out", "mixed", "qkv"),
        'checkpoint, save=("out", "mixed", "qkv", "up")': keep("out", "mixed", "qkv", "up"),
        "checkpoint_sequential, 4 segments": lambda layers, x: libgrad.checkpoint_sequential(
            layers, 4, x
        ),
        "checkpoint_optimal, 2 slots": optimal(slots=2),
        "checkpoint_optimal, a quarter": optimal(budget_bytes=whole // 4, costs=costs),
        "checkpoint_optimal, a half": optimal(budget_bytes=whole // 2, costs=costs),
        "compress": under(libgrad.compress),
        "checkpoint inside compress": under(libgrad.compress, each(libgrad.checkpoint)),
        "save_on_disk": under(lambda: libgrad.save_on_disk(folder)),
    }
    if device == "cuda":
        found["save_on_cpu"] = under(lambda: libgrad.save_on_cpu(pin_memory=True))
        found['checkpoint, offload=("out", "mixed", "qkv", "up")'] = each(
            functools.partial(libgrad.checkpoint, offload=("out", "mixed", "qkv", "up"))
        )
    return found


def step(run: Run, layers: list[nn.Module], x: Tensor) -> None:
    run(layers, x).square().mean().backward()


def picture(rows: list[tuple[str, float, float]], path: Path, title: str) -> None:
    figure, axis = plt.subplots(figsize=(9, 5.5))
    axis.set_xlabel("time of a step, of that without anything")
    axis.set_ylabel("peak memory of a step, MiB")
    axis.set_xlim(min(ratio for _, _, ratio in rows) - 0.03, max(r for _, _, r in rows) + 0.25)
    axis.set_ylim(0, 1.05 * max(memory for _, memory, _ in rows))
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    taken = []
    for name, memory, ratio in rows:
        ours = name not in ("nothing", "checkpoint, torch's")
        axis.plot(ratio, memory, "o", color="#ee4c2c" if ours else "#707070")
        x, y = axis.transData.transform((ratio, memory))
        taken.append((x - 6, x + 6, y - 6, y + 6))
    for name, memory, ratio in sorted(rows, key=lambda row: row[1]):
        x, y = axis.transData.transform((ratio, memory))
        width = 4.9 * len(name)  # of a font of 8 points, in pixels of 100 an inch
        for up in (0, 14, -14, 28, -28, 42, 56, 70, 84):
            box = (x + 12, x + 12 + width, y + up - 7, y + up + 7)
            if not any(
                box[0] < b[1] and b[0] < box[1] and box[2] < b[3] and b[2] < box[3] for b in taken
            ):
                break
        taken.append(box)
        line = {"arrowstyle": "-", "color": "#b0b0b0", "linewidth": 0.6} if up else None
        axis.annotate(
            name,
            (ratio, memory),
            (12 * 0.72, up * 0.72),
            textcoords="offset points",
            fontsize=8,
            verticalalignment="center",
            arrowprops=line,
        )
    figure.savefig(path, dpi=120)


def write_page(table: str) -> None:
    page = ROOT / "docs" / "memory.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers: list[nn.Module] = [Layer().to(options.device) for _ in range(LAYERS)]
    x = torch.randn(BATCH, LENGTH, SIZE, device=options.device, requires_grad=True)
    step(through, layers, x)  # gradients are there
    with tempfile.TemporaryDirectory() as folder:
        runs = ways(options.device, layers, x, folder)
        works = [functools.partial(step, run, layers, x) for run in runs.values()]
        for work in works:
            work()
        peaks = [peak(work, options.device) / 2**20 for work in works]
        rounds: list[list[float]] = []
        end = time.perf_counter() + options.seconds
        while len(rounds) < 5 or time.perf_counter() < end:
            rounds.append([timed(work, options.device) for work in works])
    times = [statistics.median(column) * 1e3 for column in zip(*rounds, strict=True)]
    ratios = [statistics.median(r[i] / r[0] for r in rounds) for i in range(len(works))]
    lines = ["| | peak | of none | time of a step | of none |", "|---|---:|---:|---:|---:|"]
    for name, memory, seconds, ratio in zip(runs, peaks, times, ratios, strict=True):
        lines.append(
            f"| {name} | {memory:,.1f} MiB | {memory / peaks[0]:.2f} | {seconds:,.1f} ms | "
            f"{ratio:.2f} |"
        )
    where = f"{machine(options.device)}, one thread"
    text = "\n".join(lines) + (
        f"\n\n{where}; torch {torch.__version__}, libgrad {libgrad.__version__}, Python "
        f"{platform.python_version()}; {date.today()}. Medians of interleaved rounds; ratios of "
        "times are medians of the rounds' ratios.\n"
    )
    print(text)
    (RESULTS / f"memory-{options.device}.md").write_text(text, encoding="utf-8")
    if options.device == "cpu":
        write_page(text)
    title = f"{LAYERS} layers of size {SIZE}, {BATCH} × {LENGTH} tokens; {where}"
    picture(
        list(zip(runs, peaks, ratios, strict=True)),
        RESULTS / f"memory-{options.device}.png",
        title,
    )


if __name__ == "__main__":
    main()

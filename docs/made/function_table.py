"""Write function_table.md: what `libgrad.check` says of the C++ Functions of the tests.

    pip install . && python docs/made/function_table.py

Builds tests/cpp/function/gallery.cpp against the installed libgrad, runs every row of `check` on
each of its Functions in float64 (torch.compile with three backends among them: some minutes), and
writes a line for each group of rows, a column for each Function, and what is not ok beneath.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import torch

import libgrad

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from function import gallery
from support import consumer

TITLES = {
    "autograd": "backward, to the third order",
    "dual": "forward mode",
    "func": "torch.func",
    "batch": "vmap",
    "inputs": "layouts, dtypes, empty inputs",
    "around": "hooks, checkpoint, autocast, threads",
    "tracing": "torch.export, fake tensors, opcheck",
    "compile": "torch.compile",
}


def main() -> None:
    """Write the table."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    reports = {}
    with tempfile.TemporaryDirectory() as folder:
        module = consumer.load("gallery", consumer.build(TESTS / "cpp", Path(folder)))
        for case in gallery.cases(module):
            inputs = gallery.vectors(case)
            reports[case.name] = libgrad.check(case.ours, *inputs, exact=case.exact)
            print(case.name, reports[case.name].ok, flush=True)
    lines = [f"| | {' | '.join(reports)} |", "|---|" + "---|" * len(reports)]
    failed = []
    for group, title in TITLES.items():
        cells = []
        for name, report in reports.items():
            rows = [row for row in report.rows if row.group == group and row.status != "n/a"]
            bad = [row for row in rows if row.status != "ok"]
            failed += [f"- `{name}`, {row.name}: {row.status}. {_first_line(row)}" for row in bad]
            cells.append(f"{len(rows) - len(bad)} of {len(rows)}" if bad else f"{len(rows)}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    count = sum(row.status == "ok" for report in reports.values() for row in report.rows)
    lines += ["", f"{count} rows are ok; torch {torch.__version__}. What is not:", "", *failed]
    (HERE / "function_table.md").write_text("\n".join(lines) + "\n")


def _first_line(row: object) -> str:
    return str(getattr(row, "detail", "")).splitlines()[0]


if __name__ == "__main__":
    main()

"""The folders of the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
DOCS = ROOT / "docs"
MADE = DOCS / "made"
EXAMPLES = ROOT / "examples"
TESTS = ROOT / "tests"
CPP = TESTS / "cpp"

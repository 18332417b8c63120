"""``python -m libgrad graph MODULE:CALLABLE -o picture.svg``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from .._C import Graph
from .._graph.graph import graph
from .._graph.record import record
from .callables import Unusable, find_callable

__all__ = ["add_arguments", "command"]

_PICTURES: dict[str, Callable[..., str]] = {
    ".svg": Graph.to_svg,
    ".html": Graph.to_html,
    ".htm": Graph.to_html,
    ".dot": Graph.to_dot,
    ".gv": Graph.to_dot,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "function",
        metavar="MODULE:CALLABLE",
        help="or script.py:CALLABLE; called without arguments, it returns a tensor, tensors, or "
        "both these and a module (or a dict) that names the leaves",
    )
    parser.add_argument(
        *("--output", "-o"),
        metavar="FILE",
        help="ends in .svg, .html, .dot, .json or .txt; text is printed without it",
    )
    parser.add_argument(
        "--fold",
        choices=["auto", "none", "modules", "repeats"],
        default="auto",
        help="what is drawn as one box (auto: only in large graphs)",
    )
    parser.add_argument(
        "--saved",
        choices=["marks", "rows", "none"],
        default="marks",
        help="how saved tensors are shown",
    )
    parser.add_argument("--title", help="what stands above the picture")


def _is_params(value: object) -> bool:
    return isinstance(value, torch.nn.Module | Mapping)


def _graph_of(result: Any, path: str) -> Graph:
    """Return the graph of the function's result."""
    params = None
    if isinstance(result, tuple) and len(result) == 2 and _is_params(result[1]):
        result, params = result
    tensors = tuple(result) if isinstance(result, tuple | list) else (result,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor | GradientEdge):
            raise Unusable(
                f"{path} must return a tensor, tensors, or (tensors, module), "
                f"but returned {type(tensor).__name__}"
            )
    try:
        return graph(*tensors, params=params)
    except (RuntimeError, TypeError) as error:
        raise Unusable(str(error).removeprefix("graph: ")) from None


def _draw(taken: Graph, options: argparse.Namespace) -> str:
    suffix = Path(options.output).suffix.lower() if options.output else ".txt"
    if suffix == ".txt":
        return taken.text(fold=options.fold != "none") + "\n"
    if suffix == ".json":
        return taken.to_json()
    title = options.title or options.function.rpartition(":")[2]
    return _PICTURES[suffix](taken, fold=options.fold, saved=options.saved, title=title)


def command(options: argparse.Namespace) -> int:
    """Write the picture; return 0, or 2 when there is nothing to draw."""
    try:
        suffixes = [*_PICTURES, ".json", ".txt"]
        if options.output and Path(options.output).suffix.lower() not in suffixes:
            raise Unusable(f"--output must end in {', '.join(suffixes)}, but is {options.output!r}")
        function = find_callable(options.function, "function", "MODULE:CALLABLE")
        with record():
            result = function()
        drawn = _draw(_graph_of(result, options.function), options)
        if options.output:
            Path(options.output).write_text(drawn, encoding="utf-8")
        else:
            print(drawn, end="")
    except (Unusable, OSError) as error:
        print(f"libgrad graph: {error}", file=sys.stderr)
        return 2
    return 0

"""``python -m libgrad check MODULE:FUNCTION --inputs EXPRESSION ...``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch

from .._check import check
from .callables import Unusable, find_callable

__all__ = ["add_arguments", "command"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("function", metavar="MODULE:FUNCTION", help="such as torch:sigmoid")
    parser.add_argument(
        *("--inputs", "-i"),
        nargs="*",
        default=[],
        metavar="EXPRESSION",
        help="a Python expression for each input; torch is in scope",
    )
    parser.add_argument("--kwargs", default="{}", metavar="EXPRESSION", help="a dict, as Python")
    parser.add_argument("--reference", metavar="MODULE:FUNCTION", help="what it must agree with")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows or groups to run")
    parser.add_argument("--skip", nargs="+", default=[], metavar="ROW", help="what to leave out")
    parser.add_argument(
        "--backends", nargs="+", default=["eager", "aot_eager", "inductor"], help="of torch.compile"
    )
    parser.add_argument(
        "--inexact", action="store_true", help="the gradient is defined by backward, not by numbers"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _value(expression: str, what: str) -> Any:
    try:
        return eval(expression, {"torch": torch})
    except Exception as error:
        raise Unusable(f"{what} {expression!r}: {type(error).__name__}: {error}") from None


def command(options: argparse.Namespace) -> int:
    """Print the report; return 0 when it is ok, 1 when it is not, 2 when there is no report."""
    torch.manual_seed(options.seed)
    try:
        function = find_callable(options.function, "function")
        reference = find_callable(options.reference, "--reference") if options.reference else None
        inputs = [_value(each, "--inputs") for each in options.inputs]
        kwargs = _value(options.kwargs, "--kwargs")
        if not isinstance(kwargs, dict):
            raise Unusable(f"--kwargs must be a dict, but is {type(kwargs).__name__}")
        report = check(
            function,
            *inputs,
            kwargs=kwargs,
            reference=reference,
            exact=not options.inexact,
            only=options.only,
            skip=options.skip,
            backends=options.backends,
            seed=options.seed,
        )
    except (Unusable, ValueError) as error:
        print(f"libgrad check: {str(error).removeprefix('check: ')}", file=sys.stderr)
        return 2
    print(report.to_json() if options.json else report)
    return 0 if report.ok else 1

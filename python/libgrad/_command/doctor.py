"""``python -m libgrad doctor script.py``: runs an unchanged program under the doctor."""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from pathlib import Path

from .._doctor.doctor import doctor

__all__ = ["add_arguments", "command"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "--silent",
        action="store_true",
        help="also find tensors that were changed without their version, by .data or NumPy",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT is a module's name")
    parser.add_argument("script", metavar="SCRIPT", help="the program to run")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="...", help="what it is called with"
    )


def _run(options: argparse.Namespace) -> None:
    sys.argv = [options.script, *options.arguments]
    if options.module:
        sys.path.insert(0, "")
        runpy.run_module(options.script, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(options.script).resolve().parent))
        runpy.run_path(options.script, run_name="__main__")


def _without_ours(error: BaseException) -> BaseException:
    """Return `error` with a traceback that begins in the program."""
    trace = error.__traceback__
    ours = (str(Path(__file__).parents[1]), "<frozen runpy>", runpy.__file__)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return error.with_traceback(trace) if trace is not None else error


def command(options: argparse.Namespace) -> int:
    """Run the program; return its exit status: 1 for an exception, as Python does."""
    if not options.module and not Path(options.script).exists():
        print(f"libgrad doctor: there is no file {options.script!r}", file=sys.stderr)
        return 2
    try:
        with doctor(silent=options.silent) as d:
            _run(options)
    except Exception as error:
        traceback.print_exception(_without_ours(error))
        return 1
    count = len(d.findings())
    writes = "silent write" if count == 1 else "silent writes"
    found = f"{count} {writes}, told above" if count else "nothing found"
    print(f"libgrad doctor: {found}", file=sys.stderr)
    return 0

"""Runs the rows one by one, isolated from each other, and collects the report."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .case import Case, Options, first_line
from .compare import NotApplicable, Wrong
from .hints import hint
from .inputs import signature
from .registry import RowSpec, select, specs
from .report import Report, Row

# Importing a module of rows registers its rows.
from .rows import around, autograd, compile, forward, func, inputs, sizes, vmap

__all__ = ["run"]

ROWS = (autograd, forward, func, vmap, inputs, sizes, around, compile)

SLOW_VMAP = "batching rule"


@contextlib.contextmanager
def _own_world(case: Case) -> Iterator[list[warnings.WarningMessage]]:
    """Restore random numbers, modes, logging and filters of warnings; collect the warnings."""
    with (
        torch.random.fork_rng(case.cuda_devices()),
        torch.inference_mode(False),
        torch.enable_grad(),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        case.seed()
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # the row itself reports a failure
        try:
            yield caught
        finally:
            logging.disable(disabled)


def _run_row(spec: RowSpec, case: Case) -> Row:
    start = time.perf_counter()
    error: BaseException | None = None
    try:
        with _own_world(case) as caught:
            detail = spec.run(case) or ""
        status = "ok"
        if any(SLOW_VMAP in str(w.message) for w in caught):
            detail = "; ".join(
                filter(None, [detail, "an operator has no batching rule: a slow loop"])
            )
    except Wrong as wrong:
        status, detail = "wrong", str(wrong)
    except NotApplicable as reason:
        status, detail = "n/a", str(reason)
    except KeyboardInterrupt:
        raise
    except BaseException as raised:
        traceback.clear_frames(raised.__traceback__)  # frames hold graphs and tensors
        status, error = "error", raised
        said = f"{type(raised).__name__}: {first_line(raised)}".removesuffix(": ")
        detail = "\n".join(filter(None, [said, hint(raised)]))
    return Row(spec.name, status, detail, time.perf_counter() - start, error, spec.group)


def _private(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of a module, so that the user's is not changed; otherwise `fn` itself."""
    if isinstance(fn, torch.nn.Module):
        with contextlib.suppress(Exception):
            return copy.deepcopy(fn)
    return fn


def run(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Options,
    only: Sequence[str] | None,
    skip: Sequence[str],
) -> Report:
    """Run the rows that `only` and `skip` leave; return the report."""
    chosen = select(specs(options.backends), only, skip)
    case = Case(_private(fn), args, kwargs, options)
    first = [spec for spec in chosen if spec.name == "determinism"]
    done = {spec.name: _run_row(spec, case) for spec in first}
    notes = []
    if any(row.status == "wrong" for row in done.values()):
        notes.append(
            "fn is not deterministic, so that no other row can tell anything, and none was run. "
            "Take the randomness out (model.eval(), p=0, a generator that fn seeds itself), or "
            "run the other rows by skip=['determinism']."
        )
        chosen = first
    else:
        done |= {spec.name: _run_row(spec, case) for spec in chosen if spec not in first}
    rows = tuple(done[spec.name] for spec in chosen)
    return Report(signature(fn, args, kwargs), rows, tuple(notes), str(torch.__version__))

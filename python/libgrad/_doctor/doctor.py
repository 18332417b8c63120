"""`doctor`: finds the operators that changed a tensor which backward needs."""

from __future__ import annotations

import functools
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from .. import _C
from .._C import Finding
from .._graph.alive import ends_of_graphs
from .._graph.params import Params, named
from .._graph.record import LIBRARIES, named_parameters_of_modules_that_ran, record
from .report import Findings, SilentWriteWarning

__all__ = ["Findings", "SilentWriteWarning", "diagnose", "doctor"]


def _roots(outputs: object) -> tuple[Tensor | GradientEdge, ...]:
    """Return the outputs of a call of the engine that have a graph."""
    items = outputs.values() if isinstance(outputs, dict) else outputs
    if isinstance(items, Tensor | GradientEdge) or not isinstance(items, Iterable):
        items = (items,)
    return tuple(
        item
        for item in items
        if isinstance(item, GradientEdge) or (isinstance(item, Tensor) and item.requires_grad)
    )


def _look(roots: tuple[Tensor | GradientEdge, ...]) -> list[Finding]:
    return _C.diagnose(roots, named_parameters_of_modules_that_ran()) if roots else []


def _explain(error: RuntimeError, roots: tuple[Tensor | GradientEdge, ...]) -> None:
    """Add the findings to `error`, if it is about a tensor that was written to."""
    text = str(error)
    if hasattr(error, "findings") or not _C.speaks_of_a_write(text):
        return
    try:
        found = _C.put_first(_look(roots), text)
    except RuntimeError:  # torch's error must not be replaced by this one
        return
    findings = Findings(finding for finding in found if not finding.silent)
    watching = any(one._entered for one in _mine())
    if findings and (watching or any(finding.writes for finding in findings)):
        error.args = (f"{text}\n\n{findings}", *error.args[1:])
        error.findings = findings  # type: ignore[attr-defined]
        _tell(findings)


def _tell(findings: Iterable[Finding]) -> None:
    for one in _mine():
        one._found.extend(findings)


def _warn_of_silent_writes(roots: tuple[Tensor | GradientEdge, ...]) -> None:
    if findings := Findings(finding for finding in _look(roots) if finding.silent):
        _tell(findings)
        warnings.warn(f"doctor: {findings}", SilentWriteWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the number of frames up to the first that is not torch's or libgrad's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame, level = frame.f_back, level + 1
    return level


def _mine() -> list[doctor]:
    """Return the doctors of this thread."""
    here = threading.get_ident()
    found = (reference() for reference in _doctors)
    return [one for one in found if one is not None and one._thread == here]


def _watch(run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `run`, torch's or libgrad's entry to the engine, and explain its errors."""
    mine = _mine()
    if not mine or torch.compiler.is_compiling():
        return run(*args, **kwargs)
    outputs = args[0] if args else kwargs.get("outputs", kwargs.get("tensors"))
    silent = any(one._silent for one in mine)
    del mine  # a traceback would keep the doctors alive
    if silent:
        _warn_of_silent_writes(_roots(outputs))
        silent = run in _runs and len(args) > 3 and not args[3]  # args[3] of torch: create_graph
    try:
        if silent:
            _C.pause_contents()
        return run(*args, **kwargs)
    except RuntimeError as error:
        _explain(error, _roots(outputs))
        raise
    finally:
        if silent:
            _C.resume_contents()


_doctors: tuple[weakref.ref[doctor], ...] = ()  # doctors that were entered
_lock = threading.RLock()  # entered again where a doctor is collected while it is held
_busy = False  # the engine is being watched, or left, further up in this thread
_users = 0  # the number of doctors that need the engine watched
_runs: list[Callable[..., Any]] = []  # torch's entry to the engine, and the one in its place


def _watch_engine(by: int, one: weakref.ref[doctor] | None = None) -> None:
    """Change the number of doctors that need it, and watch the engine while there are any."""
    global _busy, _doctors, _users
    with _lock:
        _users += by
        if _busy:  # whoever is busy looks at the number again
            return
        _busy = True
        try:
            known = (*_doctors, one) if one is not None else _doctors
            _doctors = tuple(each for each in known if each() is not None)
            while bool(_users) != bool(_runs):
                if _users:
                    _begin_to_watch()
                else:
                    _end_to_watch()
        finally:
            _busy = False


def _begin_to_watch() -> None:
    from torch.autograd import graph as module

    before = module._engine_run_backward
    run: Callable[..., Any] = functools.wraps(before)(functools.partial(_watch, before))
    _runs.extend((before, run))
    for place in (module, torch.autograd):
        vars(place)["_engine_run_backward"] = run
    _C.watch_engine(_watch)


def _end_to_watch() -> None:
    from torch.autograd import graph as module

    before, run = _runs
    _runs.clear()
    _C.watch_engine(None)
    for place in (module, torch.autograd):
        if vars(place)["_engine_run_backward"] is run:  # else another wrapper calls `run`
            vars(place)["_engine_run_backward"] = before


class doctor:
    """Inside ``with``, writes into tensors are recorded, and backward's error names them.

    Put ``with`` around forward, the optimizer's step and backward. When backward stops at "one of
    the variables needed for gradient computation has been modified by an inplace operation", the
    error (the RuntimeError that torch raises) says which node needs which saved tensor; the
    operator, line and module that made the tensor and that saved it; the operators and lines that
    wrote to it; and what to do. ``error.findings`` and ``findings()`` hold the same as data.

    >>> x = torch.ones(3, requires_grad=True)
    >>> with libgrad.doctor() as d:
    ...     y = x.exp()
    ...     y += 1
    ...     try:
    ...         y.sum().backward()
    ...     except RuntimeError as error:
    ...         finding = error.findings[0]
    >>> finding.node, finding.field, finding.writes[0].op
    ('ExpBackward0', 'result', 'aten::add_.Tensor')

    Only this thread is watched, and what the engine runs for it. While the doctor object is alive
    (``as d``), errors of a later backward are explained, too.

    Args:
        silent: Also remember the contents of saved tensors, and warn (`SilentWriteWarning`) before
            a backward that needs a tensor whose numbers have changed while its version has not: by
            ``.data``, NumPy, DLPack, a pointer, a fused optimizer.

    Raises:
        RuntimeError: Left without having been entered, or by another thread than entered it; or
            another extension uses the dispatch key by which writes are seen.

    Source: the dispatcher, where libgrad registers a kernel in front of each operator whose schema
    says that it writes; `record` for lines and modules.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = bool(silent)
        self._found: list[Finding] = []
        self._entered: list[tuple[int, list[Any]]] = []
        self._thread: int | None = None
        self._release: Callable[[], object] | None = None

    def __enter__(self) -> doctor:
        guards: list[Any] = [record(), _C.SpyScope()]
        if self._silent:
            guards.append(_C.ContentsScope())
        entered: list[Any] = []
        try:
            for guard in guards:
                guard.__enter__()
                entered.append(guard)
        except BaseException:
            for guard in reversed(entered):
                guard.__exit__(None, None, None)
            raise
        self._thread = threading.get_ident()
        self._entered.append((self._thread, guards))
        if self._release is None:
            _watch_engine(1, weakref.ref(self))
            self._release = weakref.finalize(self, _watch_engine, -1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._entered or self._entered[-1][0] != threading.get_ident():
            by = "by another thread than entered it" if self._entered else "without being entered"
            raise RuntimeError(f"doctor: left {by}")
        try:
            if isinstance(error, RuntimeError) and _C.speaks_of_a_write(str(error)):
                _explain(error, tuple(end for end in ends_of_graphs() if isinstance(end, Tensor)))
        finally:
            _, guards = self._entered.pop()
            for guard in reversed(guards):
                guard.__exit__(None, None, None)

    def findings(self) -> Findings:
        """Return the findings so far: those of errors, and silent writes."""
        return Findings(self._found)

    def __repr__(self) -> str:
        state = "watching" if self._entered else "not watching"
        return f"doctor(silent={self._silent}): {state}, {len(self._found)} findings"


def diagnose(*tensors: Tensor | GradientEdge, params: Params | None = None) -> Findings:
    """Return all the saved tensors that backward of `tensors` needs and that were written to.

    They come in the order in which backward needs them; torch stops at the first. Nothing runs and
    nothing is changed. Inside a `doctor`, or after it, findings name the operators that wrote and
    their lines; otherwise only nodes and versions.

    >>> x = torch.ones(3, requires_grad=True)
    >>> y = x.exp()
    >>> y.add_(1)
    tensor([3.7183, 3.7183, 3.7183], grad_fn=<AddBackward0>)
    >>> [finding.node for finding in libgrad.diagnose(y.sum())]
    ['ExpBackward0']

    Args:
        tensors: Where the graph starts: tensors that require grad, or GradientEdges.
        params: Names for leaves: a module, a dict, or pairs such as
            ``model.named_parameters()``. By default the names of the modules that a doctor saw
            running.

    Raises:
        RuntimeError: A tensor does not require grad, so there is no graph behind it.
        TypeError: There is no tensor, or something that is not a tensor or a name.
    """
    if not tensors:
        raise TypeError("diagnose: expected at least one tensor")
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor | GradientEdge):
            raise TypeError(
                f"diagnose: tensor {i} must be a tensor, but is {type(tensor).__name__}"
            )
    names = named(params, "diagnose") or named_parameters_of_modules_that_ran()
    return Findings(_C.diagnose(tensors, names))

"""Rows of the groups "tracing" and "compile", which are slow and run last."""

from __future__ import annotations

import contextlib
import io
import itertools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..case import Case
from ..compare import NotApplicable, Wrong, compare, describe
from ..inputs import fresh
from ..registry import backend_row, row
from .autograd import output
from .func import grads_must_be
from .inputs import grads_of, same_as_eager
from .vmap import loop, members, stack

__all__: list[str] = []


@row("opcheck", "tracing")
def opcheck(case: Case) -> str:
    """Run torch.library.opcheck on a custom operator: its schema, fake kernel and autograd."""
    custom: Any = vars(torch.library)["CustomOpDef"]
    kinds = (torch._ops.OpOverload, torch._ops.OpOverloadPacket, custom)
    fn = case.fn
    if not isinstance(fn, kinds):
        raise NotApplicable("fn is no operator of torch.ops and no torch.library.custom_op")
    args, kwargs = case.arguments(case.with_diff(case.leaves()))
    if isinstance(fn, torch._ops.OpOverloadPacket):
        fn = fn.default
    found = torch.library.opcheck(fn, args, kwargs)
    return ", ".join(found)


@row("fake tensors", "tracing")
def fake_tensors(case: Case) -> str:
    """Run on tensors without values, as compilers do: shapes and dtypes must be right."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        got = case.call([mode.from_tensor(t) for t in case.copies()])
    for i, (a, b) in enumerate(zip(got, case.outputs, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise Wrong(f"output {i}: got {describe(a)} from fake tensors, expected {describe(b)}")
    return ""


class _Module(torch.nn.Module):
    """The function as a module, which torch.export requires."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)


def _export(case: Case) -> Callable[..., Any]:
    args, kwargs = case.arguments(case.copies())
    with contextlib.redirect_stderr(io.StringIO()):  # torch.export prints failed graphs there
        program = torch.export.export(_Module(case.fn), args, kwargs or None)
    return program.module()


@row("export", "tracing")
def export(case: Case) -> None:
    """Run torch.export.export, and its program against the eager run."""
    program = _export(case)
    args, kwargs = case.arguments(case.copies())
    got = case.outputs_of(program(*args, **kwargs), args)
    label = lambda i: f"{output(i)} of the exported program"
    compare([t.detach() for t in got], case.outputs, label, case.options.tolerance)


@row("export backward", "tracing")
def export_backward(case: Case) -> str:
    """Differentiate the exported program, which may keep, lose or refuse the gradient."""
    case.need_outputs()
    program = _export(case)
    leaves = case.leaves()
    args, kwargs = case.arguments(case.with_diff(leaves))
    outputs = case.outputs_of(program(*args, **kwargs), args)
    where = "of the exported program"
    grads_of(case, [outputs[i] for i in case.outputs_at], leaves, where)
    return "the gradient is kept"


_numbers = itertools.count()


def _anew(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of the function with its own code, so that torch.compile's caches end with it.

    The name of the code is new as well: by that name dynamo remembers which sizes change from call
    to call.
    """
    assert isinstance(function, types.FunctionType)
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_numbers)}")
    return types.FunctionType(
        code, function.__globals__, function.__name__, None, function.__closure__
    )


def _compiled(function: Callable[..., Any], backend: Any, **options: Any) -> Callable[..., Any]:
    return torch.compile(_anew(function), backend=backend, fullgraph=True, **options)


def _call_of(case: Case) -> Callable[..., Any]:
    fn = case.fn

    def call(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return call


def _run(case: Case, compiled: Callable[..., Any], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    args, kwargs = case.arguments(tensors)
    return case.outputs_of(compiled(*args, **kwargs), args)


@backend_row("compile {}")
def compile_static(case: Case, backend: Any) -> str:
    """Compile as one graph, forward alone and with backward, against the eager run."""
    case.outputs  # noqa: B018  # before the compiler's own calls
    compiled = _compiled(_call_of(case), backend, dynamic=False)
    with torch.no_grad():
        got = _run(case, compiled, case.copies())
    label = lambda i: f"{output(i)} when compiled"
    compare(got, case.outputs, label, case.options.tolerance)
    if not case.outputs_at:
        return "forward"
    leaves = case.leaves()
    same_as_eager(case, _run(case, compiled, case.with_diff(leaves)), leaves, "when compiled")
    return "forward and backward, one graph"


def _twice(t: Tensor, dim: int) -> Tensor:
    return torch.cat([t, t], dim) if t.dim() else t


def _other_sizes(case: Case) -> Iterator[list[Tensor]]:
    """Return sets of tensors of other sizes; the sets that a function likely accepts come first."""
    tensors = case.copies()
    yield [_twice(t, 0) for t in tensors]
    for i, t in enumerate(tensors):
        yield [*tensors[:i], _twice(t, 0), *tensors[i + 1 :]]
    yield [_twice(t, -1) for t in tensors]


@backend_row("compile {} dynamic")
def compile_dynamic(case: Case, backend: Any) -> str:
    """Compile with dynamic shapes and call with a second size, against eager runs of both."""
    from torch._dynamo.utils import counters

    if not any(t.dim() for t in case.tensors):
        raise NotApplicable("no input has a dimension")
    case.outputs  # noqa: B018
    compiled = _compiled(_call_of(case), backend, dynamic=True)
    leaves = case.leaves()
    same_as_eager(case, _run(case, compiled, case.with_diff(leaves)), leaves, "when compiled")
    graphs = counters["stats"]["unique_graphs"]
    for tensors in _other_sizes(case):
        try:
            other = Case(case.fn, *case.raw_arguments(tensors), case.options)
            if other.outputs_at:
                other.grads  # noqa: B018
        except Exception:
            continue
        leaves = other.leaves()
        outputs = _run(other, compiled, other.with_diff(leaves))
        same_as_eager(other, outputs, leaves, "when compiled and called with another size")
        again = counters["stats"]["unique_graphs"] > graphs
        return "compiled again for another size" if again else "another size without a recompile"
    return "fn takes no other size"


@backend_row("compile(grad) {}")
def compile_grad(case: Case, backend: Any) -> None:
    """Compile torch.func.grad of the function, against eager backward."""
    case.need_outputs()
    transformed = torch.func.grad(case.scalar, tuple(range(len(case.diff))))

    def call(*diff: Tensor) -> Any:
        return transformed(*diff)

    grads_must_be(case, _compiled(call, backend)(*case.primals()))


@backend_row("compile(vmap) {}")
def compile_vmap(case: Case, backend: Any) -> None:
    """Compile torch.func.vmap of the function, against a loop."""
    of = members(case, 3)
    expected = loop(lambda *tensors: case.call(tensors), of)
    batched = torch.func.vmap(lambda *tensors: case.call(tensors))

    def call(*tensors: Tensor) -> Any:
        return batched(*tensors)

    got = [t.detach() for t in _compiled(call, backend)(*[fresh(t) for t in stack(of)])]
    label = lambda i: f"{output(i)} when compiled (first index: batch)"
    compare(got, expected, label, case.options.tolerance)

"""The types of the public names, as mypy and pyright read them from the installed package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from support.paths import EXAMPLES, ROOT

# A line with a comment must be an error of this kind, as --strict forbids unused comments. pyright
# reads no kind, but is told to forbid them, too.
PROGRAM = """
from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from typing_extensions import assert_type

import libgrad

model = torch.nn.Linear(2, 1)
x = torch.ones(2, requires_grad=True)
y = model(x).sum()

assert_type(libgrad.grad(y, x), tuple[Tensor, ...])
assert_type(libgrad.grad([y], (x, x), [None], create_graph=True), tuple[Tensor, ...])
assert_type(libgrad.grad(y, {"x": x}), dict[str, Tensor])
assert_type(libgrad.grad(y, {1: x}), dict[int, Tensor])
assert_type(libgrad.grad(get_gradient_edge(y), [get_gradient_edge(x)]), tuple[Tensor, ...])
libgrad.backward(y, torch.ones(()), inputs=list(model.parameters()))
libgrad.backward([y, y], [None, None], retain_graph=True, inputs={"x": x})
libgrad.grad(y)  # type: ignore[call-overload]
libgrad.grad("y", x)  # type: ignore[arg-type]
libgrad.backward(y, input=x)  # type: ignore[call-arg]

node = libgrad.node(y)
assert_type(node, libgrad.Node)
assert_type(node.name, str)
assert_type(node.sequence_nr, int)
assert_type(node.next, tuple[tuple[libgrad.Node | None, int], ...])
assert_type(node.variable, Tensor | None)
for metadata in node.inputs:
    if metadata is not None:
        assert_type(metadata.shape, torch.Size)
        assert_type(metadata.dtype, torch.dtype)
        assert_type(metadata.device, torch.device)
libgrad.node(3)  # type: ignore[arg-type]
node.name = "other"  # type: ignore[misc]
libgrad.print_graph(y, dict(model.named_parameters()), max_depth=2, file=io.StringIO())
libgrad.print_graph(y, None, 2)  # type: ignore[call-arg]

costs = libgrad.measure_chain([torch.sin, torch.cos], x)
assert_type(costs, libgrad.ChainCosts)
assert_type(costs.input_bytes, tuple[int, ...])
assert_type(costs.runs(100), tuple[int, ...])
assert_type(libgrad.checkpoint_optimal([torch.sin], x, budget_bytes=9, costs=costs), Tensor)
assert_type(libgrad.checkpoint_optimal(torch.nn.Sequential(), x, slots=9), Tensor)
libgrad.checkpoint_optimal([torch.sin], x, budget_bytes=9.5)  # type: ignore[arg-type]


@libgrad.checkpoint(early_stop=False, respect_saved_tensors_hooks=True)
def power(x: Tensor, n: int = 2) -> Tensor:
    return x**n


class Layer:
    @libgrad.checkpoint()
    def run(self, x: Tensor) -> Tensor:
        return x.exp()


assert_type(power(x, n=3), Tensor)
assert_type(Layer().run(x), Tensor)
assert_type(libgrad.checkpoint(power, x, n=3), Tensor)
power("x")  # type: ignore[arg-type]
Layer().run(x, 3)  # type: ignore[call-arg]
libgrad.checkpoint(n=3)  # type: ignore[call-overload]

graph = libgrad.graph(y, params=model)
assert_type(graph, libgrad.types.Graph)
assert_type(graph.to_text(max_lines=9), str)
assert_type(graph.diff(graph), libgrad.types.GraphDiff)
assert_type(graph.holders(), tuple[libgrad.types.Holder, ...])
assert_type(graph.nodes[0].saved[0], libgrad.types.SavedTensor)
assert_type(libgrad.checkpoint_name(y, "y"), Tensor)
libgrad.types.Nothing  # type: ignore[attr-defined]
libgrad.nothing  # type: ignore[attr-defined]

with libgrad.no_grad(), libgrad.enable_grad(), libgrad.inference_mode(False):
    pass
with libgrad.set_grad_enabled(True), libgrad.detect_anomaly(check_nan=False):
    assert_type(libgrad.is_grad_enabled(), bool)
    assert_type(libgrad.is_inference_mode_enabled(), bool)
libgrad.set_grad_enabled(None)  # type: ignore[arg-type]
libgrad.detect_anomaly(check_nan="yes")  # type: ignore[arg-type]
libgrad.no_grad(5)  # type: ignore[call-overload]
libgrad.inference_mode("on")  # type: ignore[call-overload]


@libgrad.no_grad()
def function(a: int) -> str:
    return str(a)


@libgrad.no_grad
def without_parentheses(a: int) -> str:
    return str(a)


@libgrad.inference_mode
def generator(a: int) -> Iterator[str]:
    yield str(a)


@libgrad.set_grad_enabled(False)
async def coroutine(a: int) -> str:
    return str(a)


@libgrad.detect_anomaly()
async def async_generator(a: int) -> AsyncIterator[str]:
    yield str(a)


class Model:
    @libgrad.enable_grad
    def method(self, a: int) -> str:
        return str(a)


assert_type(function(1), str)
assert_type(without_parentheses(1), str)
assert_type(generator(1), Iterator[str])
returns_coroutine: Callable[[int], Coroutine[Any, Any, str]] = coroutine
assert_type(async_generator(1), AsyncIterator[str])
assert_type(Model().method(1), str)
function("1")  # type: ignore[arg-type]
without_parentheses("1")  # type: ignore[arg-type]

operator = libgrad.functional.jacobian_operator(torch.sin, x)
assert_type(operator, libgrad.functional.LinearOperator)
assert_type(operator.T.shape, tuple[int, int])
assert_type(operator.dtype, torch.dtype)
assert_type(operator.matvec(x), Tensor)
operator.matvec((x, x))  # type: ignore[arg-type]
libgrad.functional.jacobian(torch.sin, x, group=None)
libgrad.functional.hessian(torch.sin, x, group="world")  # type: ignore[arg-type]

report = libgrad.check(torch.sin, x, only="func", skip=["grad"], mutates=[0], exact=False)
assert_type(report, libgrad.types.Report)
assert_type(report.ok, bool)
assert_type([row.status for row in report], list[str])
assert_type(report["grad"].error, BaseException | None)
libgrad.check(3)  # type: ignore[arg-type]
libgrad.check(torch.sin, x, onyl="func")  # type: ignore[call-arg]

assert_type(libgrad.include_dir(), str)
assert_type(libgrad.cmake_dir(), str)
assert_type(libgrad.__version__, str)
kept: Callable[[Tensor], libgrad.Node] = libgrad.node
"""


def test_public_names_have_the_types_that_strict_mypy_wants(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    # Kept, since mypy takes half a minute to read torch; apart from that of other options.
    cache = ROOT / ".mypy_cache" / "test_typing"
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_public_names_have_the_types_that_strict_pyright_wants(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    for path in [*EXAMPLES.rglob("*.py"), *EXAMPLES.rglob("*.pyi")]:
        shutil.copy(path, tmp_path)
    options = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"pythonVersion": "3.10", **options}))
    run = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "-p", tmp_path],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 errors, 0 warnings" in run.stdout

"""What libgrad relies on in torch's Python, and in CPython: fails when they change it."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path

import pytest
import torch
from support.parity import outcome, python
from torch.autograd.graph import GradientEdge, get_gradient_edge

import libgrad
from libgrad import _C

READER = "torch._functorch._aot_autograd.runtime_wrappers"


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx, g: torch.Tensor) -> torch.Tensor:
        return g * 2


def test_a_gradient_edge_is_a_node_and_a_number() -> None:
    assert GradientEdge._fields[:2] == ("node", "output_nr")


def test_nodes_of_cpp_and_of_python_functions_are_unpacked_from_edges() -> None:
    x = torch.ones(2, requires_grad=True)
    for y in (x.sin(), Double.apply(x), libgrad._C._demo.swish(x)):
        edge = get_gradient_edge(y)
        (ours,) = libgrad.grad(edge, x, torch.ones(2), retain_graph=True)
        (theirs,) = torch.autograd.grad(y, x, torch.ones(2))
        assert torch.equal(ours, theirs)


def test_an_edge_whose_python_node_has_died_is_an_error() -> None:
    x = torch.ones(2, requires_grad=True)
    y = Double.apply(x)
    edge = GradientEdge(y.grad_fn, 0)
    del y
    result, error, message = outcome(lambda: libgrad.grad(edge, x, torch.ones(2)))
    if error is None:  # the edge keeps its node
        assert result[0].tolist() == [2.0, 2.0]
    else:  # an older torch: it holds the node weakly
        assert error is RuntimeError
        assert "outputs[0]" in message


def test_a_torch_with_node_h_lets_a_node_own_its_object() -> None:
    header = Path(torch.__file__).parent / "include" / "torch" / "csrc" / "autograd" / "node.h"
    y = Double.apply(torch.ones(2, requires_grad=True))
    edge = GradientEdge(y.grad_fn, 0)
    del y
    error = outcome(lambda: libgrad.grad(edge, torch.ones(2, requires_grad=True), torch.ones(2)))[2]
    assert ("outputs[0]" not in error) == header.exists() == hasattr(libgrad._C, "_apply")


def test_the_callers_context_reaches_the_engine_where_it_is_read() -> None:
    code = f"""
import contextvars, sys
import libgrad, torch

torch.accelerator.current_accelerator = lambda: {{accelerator}}
variable = contextvars.ContextVar("variable")
variable.set("mine")

def seen():
    result = []
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    key = "context"
    has, get = torch._C._is_key_in_tls, torch._C._get_obj_in_tls
    y.register_hook(lambda _: result.append(get(key)[variable] if has(key) else None))
    libgrad.backward(y.sum())
    assert not has(key)
    return result

print(seen())
sys.modules["{READER}"] = sys
print(seen())
"""
    with_threads = python(code.format(accelerator="torch.device('cuda')"))
    assert with_threads == "[None]\n['mine']\n"
    assert python(code.format(accelerator="None")) == "[None]\n[None]\n"


def test_the_reader_of_the_context_is_where_libgrad_looks_for_it() -> None:
    if not hasattr(torch._C, "_remove_obj_from_tls"):
        pytest.skip("this torch does not hand contextvars to the engine")
    spec = importlib.util.find_spec(READER)
    assert spec is not None
    assert spec.origin is not None
    assert "_get_obj_in_tls('context')" in Path(spec.origin).read_text()


def test_a_logger_keeps_its_answers_in_a_dict() -> None:
    log = logging.getLogger("torch.autograd.graph")
    assert isinstance(log._cache, dict)
    enabled = log.isEnabledFor(logging.DEBUG)
    assert log._cache[logging.DEBUG] is enabled
    assert torch.autograd.graph.log is log
    assert callable(torch.autograd.graph._register_logging_hooks_on_whole_graph)


def test_exceptions_of_c10_keep_their_types_through_torchs_pybind11() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(IndexError):
        libgrad.grad(GradientEdge(x.sin().grad_fn, 3), x, torch.ones(2))
    with pytest.raises(ValueError, match="allow_unused"):
        libgrad.grad(x.sum(), x, materialize_grads=True, allow_unused=False)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the interpreter is asked there")
def test_frames_of_python_are_laid_out_as_they_were():
    """`record` and `doctor` read them without the GIL; else they take it, and are slower."""
    assert (lambda: _C.frames_can_be_read())()

    def generator():
        yield _C.frames_can_be_read()

    assert list(generator()) == [True]

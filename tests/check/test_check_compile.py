"""The rows of `check` that compile: few functions, as they take their time."""

from __future__ import annotations

import pytest
import torch
from check import check_functions as broken

import libgrad


def test_function_is_compiled_statically_dynamically_and_over_transforms():
    def f(a, w):
        return torch.tanh(a @ w)

    x, w = torch.randn(3, 4), torch.randn(4, 2)
    report = libgrad.check(f, x, w, only="compile", backends=["eager", "aot_eager"])
    assert report.ok, report
    assert [row.name for row in report][:4] == [
        "compile eager",
        "compile eager dynamic",
        "compile(grad) eager",
        "compile(vmap) eager",
    ]
    for backend in ("eager", "aot_eager"):
        row, dynamic = report[f"compile {backend}"], report[f"compile {backend} dynamic"]
        assert row.detail == "forward and backward, one graph"
        assert dynamic.detail == "another size without a recompile"


def test_graph_break_is_an_error_with_its_first_line():
    report = libgrad.check(
        broken.shares_a_buffer, torch.ones(2), only="compile eager", backends=["eager"]
    )
    assert report["compile eager"].detail.startswith("Unsupported: ")


def test_compiled_function_that_returns_something_else_is_wrong():
    def liar(graph, inputs):
        return lambda *args: [t * 2 for t in graph(*args)]

    def f(a):
        return a * 3

    report = libgrad.check(f, torch.ones(2), only="compile", backends=[liar])
    assert [row.name for row in report] == [
        "compile liar",
        "compile liar dynamic",
        "compile(grad) liar",
        "compile(vmap) liar",
    ]
    assert [row.status for row in report] == ["wrong"] * 4
    detail = (
        "output 0 when compiled, entry (0,): got 6, expected 3, off by 3 (2 of 2 entries are off)"
    )
    assert report["compile liar"].detail == detail


def test_compiler_caches_are_left_alone():
    compilations = []

    def counting(graph, inputs):
        compilations.append(graph)
        return graph.forward

    @torch.compile(backend=counting)
    def mine(a):
        return a + 1

    x = torch.ones(2)
    mine(x)
    assert len(compilations) == 1
    for _ in range(10):  # more often than torch._dynamo compiles one function
        report = libgrad.check(torch.sin, x, only="compile eager", backends=["eager"])
        assert report.ok, report
    mine(x)
    assert len(compilations) == 1


@pytest.mark.parametrize("backend", ["inductor"])
def test_inductor(backend):
    report = libgrad.check(
        torch.sin, torch.ones(3), only=[f"compile {backend}"], backends=[backend]
    )
    assert report.ok, report

"""`Graph.diff`: what changed from one graph to another."""

from __future__ import annotations

import time

import pytest
import torch

import libgrad


def graph(function, size=2):
    x = torch.ones(size, requires_grad=True)
    return libgrad.graph(function(x).sum(), params={"x": x})


def test_equal_graphs_have_no_difference():
    a, b = graph(torch.exp), graph(torch.exp)
    assert not a.diff(b)
    assert str(a.diff(b)).startswith("no difference: 3 nodes, ")
    assert repr(a.diff(b)) == "GraphDiff(0 removed, 0 added, 0 changed)"


def test_added_and_removed_nodes_are_told_by_id():
    a, b = graph(torch.exp), graph(lambda x: x.sin().exp())
    there, back = a.diff(b), b.diff(a)
    assert [b.nodes[i].name for i in there.added] == ["SinBackward0"]
    assert (there.removed, there.changed) == ([], [])
    assert (back.removed, back.added) == (there.added, [])
    assert there.nbytes == -back.nbytes == 8


def test_nodes_that_take_something_else_are_changed():
    a, b = graph(torch.exp, 2), graph(torch.exp, 3)
    diff = a.diff(b)
    assert (diff.added, diff.removed) == ([], [])
    what = {b.nodes[change.after].name: change.what for change in diff.changed}
    assert what["ExpBackward0"] == "float32 [2], saved 8 B -> float32 [3], saved 12 B"
    assert "AccumulateGrad" in what
    assert "SumBackward0" not in what  # its gradient is a scalar still


def test_released_graphs_differ_from_whole_ones():
    x = torch.ones(2, requires_grad=True)
    loss = x.exp().sum()
    before = libgrad.graph(loss)
    loss.backward()
    [change] = [c for c in before.diff(libgrad.graph(loss)).changed if "released" in c.what]
    assert before.nodes[change.before].name == "ExpBackward0"


def test_lines_that_are_the_same_are_told_once():
    a = graph(lambda x: x)
    b = graph(lambda x: x + 1 + 2 + 3)
    assert str(a.diff(b)).splitlines()[2:] == ["+ AddBackward0  float32 [2]  ×3"]


def test_leaves_are_told_by_name():
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    names = {"x": x, "y": y}
    a = libgrad.graph((x * 2).sum(), params=names)
    b = libgrad.graph((y * 2).sum(), params=names)
    lines = str(a.diff(b)).splitlines()
    assert "- AccumulateGrad (x)  float32 [2]" in lines
    assert "+ AccumulateGrad (y)  float32 [2]" in lines


def test_modules_tell_nodes_apart():
    net = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Tanh())
    x = torch.ones(2, requires_grad=True)
    with libgrad.record():
        a, b = libgrad.graph(net(x).sum()), libgrad.graph(net[0](x).sum())
    assert [a.nodes[i].module for i in a.diff(b).removed] != []


def test_graphs_of_other_shapes_altogether_are_compared():
    a, b = graph(lambda x: x.relu().relu()), graph(lambda x: (x * x).cos())
    diff = a.diff(b)
    assert len(diff.removed) == 2
    assert len(diff.added) == 2


def test_long_chains_are_compared_in_time():
    def chain(links):
        y = torch.ones((), requires_grad=True)
        for _ in range(links):
            y = y + 1
        return libgrad.graph(y)

    a, b = chain(20_000), chain(20_100)
    start = time.perf_counter()
    assert len(a.diff(b).added) == 100
    assert time.perf_counter() - start < 5


def test_something_else_than_a_graph_is_refused():
    with pytest.raises(TypeError, match="diff"):
        graph(torch.exp).diff(None)

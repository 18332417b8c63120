"""`alive`: graphs that somebody keeps, and the names of those who do."""

from __future__ import annotations

import functools
import gc
import sys
from collections import deque

import pytest
import torch

import libgrad

history: list[torch.Tensor] = []


@pytest.fixture(autouse=True)
def nothing_left():
    gc.collect()
    yield
    history.clear()


def step(size: int = 3) -> torch.Tensor:
    """A loss with a graph of its own."""
    return torch.ones(size, requires_grad=True).exp().sum()


def holders(part: str) -> list[str]:
    """The holders, as text, of the graphs that are held by a name with `part`."""
    found = [graph for graph in libgrad.alive() if any(part in h.path for h in graph.holders)]
    return [str(holder) for graph in found for holder in graph.holders]


def test_a_local_variable_is_named():
    loss_sum = 0
    for _ in range(3):
        loss_sum = loss_sum + step()
    [graph] = [g for g in libgrad.alive() if "loss_sum" in str(g)]
    line = sys._getframe().f_lineno - 1
    assert graph.name == "AddBackward0"
    assert graph.nodes == 2 + 3 * 3 + 1
    [holder] = graph.holders
    assert holder.path == "loss_sum"
    assert holder.where.startswith("local of test_a_local_variable_is_named, ")
    assert holder.where.endswith(f"{__file__}:{line}")


def test_a_global_list_is_named_with_the_place():
    history.extend([torch.ones(2), step()])
    assert holders("history") == [f"history[1] (global of {__name__})"]


def test_attributes_and_dicts_are_named():
    class Trainer:
        def __init__(self):
            self.logs = {"loss": [step()]}

    trainer = Trainer()
    assert trainer.logs
    assert [text.split(" (")[0] for text in holders("trainer")] == ["trainer.logs['loss'][0]"]


def test_other_containers_are_named():
    queue = deque([None, step()])
    bound = functools.partial(print, step())
    assert [text.split(" (")[0] for text in holders("queue")] == ["queue[1]"]
    assert [text.split(" (")[0] for text in holders("bound")] == ["bound.args[0]"]
    assert (len(queue), bound.func) == (2, print)


def test_slots_are_named():
    class Slotted:
        __slots__ = ("kept",)

    slotted = Slotted()
    slotted.kept = step()
    assert [text.split(" (")[0] for text in holders("slotted")] == ["slotted.kept"]


@pytest.mark.parametrize("base", [libgrad.Function, torch.autograd.Function])
def test_the_ctx_of_a_function_that_has_not_returned_is_no_graph(base):
    kept, seen = [], []

    class Fails(base):
        @staticmethod
        def forward(ctx, x):
            kept.append(ctx)
            seen.extend(libgrad.alive())
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        Fails.apply(torch.ones(2, requires_grad=True))
    seen.extend(libgrad.alive())
    assert "FailsBackward" not in {graph.name for graph in seen}
    assert len(kept) == 1


def test_closures_are_named():
    def make():
        captured = step()
        return lambda: captured

    function = make()
    assert any("captured (closure of" in text for text in holders("captured"))
    assert function() is not None


def test_suspended_generators_are_named():
    def generate():
        waiting = step()
        yield
        del waiting

    generator = generate()
    next(generator)
    [text] = holders("waiting")
    assert "local of a suspended generator" in text


def test_tracebacks_are_named():
    def fails():
        lost = step()
        raise ValueError(lost.shape)

    try:
        fails()
    except ValueError as error:
        kept = error
    assert any("kept by a traceback" in text for text in holders("lost"))
    assert kept is not None


def test_a_graph_inside_another_is_not_listed():
    enclosed = step()
    around = enclosed * 2
    found = [g for g in libgrad.alive() if "enclosed" in str(g) or "around" in str(g)]
    assert len(found) == 1
    assert [h.path for h in found[0].holders] == ["around"]
    assert around is not None


def test_names_of_one_tensor_are_told_together():
    first = step()
    second = first
    [graph] = [g for g in libgrad.alive() if "first" in str(g)]
    assert sorted(h.path for h in graph.holders) == ["first", "second"]
    assert second is first


def test_nothing_is_kept_by_asking():
    def ask():
        loss = step()
        ref = libgrad.node(loss)
        before = sys.getrefcount(loss)
        libgrad.alive()
        assert sys.getrefcount(loss) == before
        del loss
        return ref

    node = ask()
    gc.collect()
    assert all("loss" not in str(graph) for graph in libgrad.alive())
    assert node is not None


def test_the_largest_comes_first():
    small, large = step(10), step(1000)
    mine = [g for g in libgrad.alive() if "small" in str(g) or "large" in str(g)]
    assert [g.holders[0].path for g in mine] == ["large", "small"]
    assert mine[0].exclusive_nbytes >= 4000
    assert small is not large


def test_text_when_there_is_none():
    assert str(libgrad._graph.alive.AliveGraphs(())) == "no graph is alive"


def test_holders_of_a_snapshot_are_those_of_its_graph():
    mine, other = step(), step()
    graph = libgrad.graph(mine)
    assert [h.path for h in graph.holders()] == ["mine"]
    del mine
    assert graph.holders() == ()
    assert other is not None


def test_the_reference_of_a_grad_fn_is_named():
    made_by = step().grad_fn
    edge = torch.autograd.graph.get_gradient_edge(step())
    assert [text.split(" (")[0] for text in holders("made_by")] == ["made_by"]
    assert [text.split(" (")[0] for text in holders("edge")] == ["edge[0]"]
    [graph] = [g for g in libgrad.alive() if "made_by" in str(g)]
    assert (graph.name, graph.shape, graph.nodes) == ("SumBackward0", (), 3)
    assert made_by is not edge


def test_the_context_of_a_python_function_is_named():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    context = Twice.apply(step()).grad_fn
    found = [(g.name, g.nodes) for g in libgrad.alive() if "context" in str(g)]
    keeps = hasattr(libgrad._C, "_apply")  # in an older torch ctx does not keep its node
    assert found == [("TwiceBackward", 4)] * keeps
    assert context is not None


def test_the_node_of_a_leaf_is_no_graph():
    kept_leaf = step().grad_fn.next_functions[0][0].next_functions[0][0]
    assert kept_leaf.name() == "torch::autograd::AccumulateGrad"
    assert holders("kept_leaf") == []


def test_references_of_cpp_are_counted():
    in_python = step()
    assert [h.where for h in libgrad.graph(in_python).holders() if h.where == "C++"] == []
    in_cpp = torch._C.ScriptList([in_python, in_python])
    [graph] = [g for g in libgrad.alive() if "in_python" in str(g)]
    assert graph.holders[-1] == libgrad._graph.alive.Holder("2 references", "C++")
    snapshot = libgrad.graph(in_python)
    del in_python, graph
    assert [str(holder) for holder in snapshot.holders()] == ["2 references (C++)"]
    assert any("held by 2 references (C++)" in str(graph) for graph in libgrad.alive())
    del in_cpp
    assert snapshot.holders() == ()


def test_a_node_by_libgrad_is_a_reference_of_cpp():
    loss = step()
    node = libgrad.node(loss)
    assert [str(h) for h in libgrad.graph(loss).holders()][-1] == "1 reference (C++)"
    del node
    assert [h.path for h in libgrad.graph(loss).holders()] == ["loss"]


def test_an_edge_of_a_larger_graph_is_a_reference_of_cpp():
    part = step()
    snapshot = libgrad.graph(part)
    whole = part * 2
    assert [h.path for h in snapshot.holders()] == ["part", "1 reference"]
    assert whole is not part


def test_a_reference_cycle_is_told():
    def ask():
        cycle = [step()]
        cycle.append(cycle)

    gc.disable()
    try:
        ask()
        found = [str(graph) for graph in libgrad.alive()]
        assert any("held by a reference cycle, or what has no name" in text for text in found)
    finally:
        gc.enable()

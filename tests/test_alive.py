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
    call = functools.partial(print, step())
    assert [text.split(" (")[0] for text in holders("queue")] == ["queue[1]"]
    assert [text.split(" (")[0] for text in holders("call")] == ["call.args[0]"]
    assert (len(queue), call.func) == (2, print)


def test_slots_are_named():
    class Slotted:
        __slots__ = ("kept",)

    slotted = Slotted()
    slotted.kept = step()
    assert [text.split(" (")[0] for text in holders("slotted")] == ["slotted.kept"]


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
    inner = step()
    outer = inner * 2
    found = [g for g in libgrad.alive() if "inner" in str(g) or "outer" in str(g)]
    assert len(found) == 1
    assert [h.path for h in found[0].holders] == ["outer"]
    assert outer is not None


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
    assert str(libgrad._alive.AliveGraphs(())) == "no graph is alive"


def test_holders_of_a_snapshot_are_those_of_its_graph():
    mine, other = step(), step()
    graph = libgrad.graph(mine)
    assert [h.path for h in graph.holders()] == ["mine"]
    del mine
    assert graph.holders() == ()
    assert other is not None

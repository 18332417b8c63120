"""Graphs of a million nodes: walked, drawn, freed in seconds and without recursion."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# In a process of its own: what recurses on a graph like this ends with a crash, not an error.
PROGRAM = """
import io, json, sys, threading, time
import torch
import libgrad

LENGTH = 1_000_000
facts = {}


def timed(name, function):
    start = time.perf_counter()
    result = function()
    facts[name + " s"] = time.perf_counter() - start
    return result


def chain():
    y = x
    for _ in range(LENGTH):
        y = y.neg()
    return y


def walk(node):
    n = 0
    while following := node.next:
        ((node, _),) = following
        n += 1
    return n, node.name, node.variable is x


def draw():
    file = io.StringIO()
    libgrad.print_graph(y, {"x": x}, file=file)
    return file.getvalue()


def drop():
    # On a stack of 256 KiB, which a few thousand calls inside each other would exhaust.
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()


torch.set_num_threads(1)
threading.stack_size(256 * 1024)
x = torch.tensor(1.0, requires_grad=True)
y = timed("make", chain)
facts["walk"] = timed("walk", lambda: walk(libgrad.node(y)))
facts["drawing"] = timed("draw", draw)
held = [libgrad.node(y)]
timed("drop the tensor", lambda: globals().pop("y"))
facts["repr"] = repr(held[0])
timed("drop the node", drop)
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts() -> dict:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def test_walk_reaches_the_end_of_a_million_nodes(facts):
    assert facts["walk"] == [1_000_000, "AccumulateGrad", True]
    assert facts["walk s"] < 20


def test_drawing_of_a_million_nodes_is_short(facts):
    lines = facts["drawing"].splitlines()
    assert lines[0] == "NegBackward0  float32 []"
    assert lines[-2].strip() == "└── ..."
    assert lines[-1] == "(999968 more nodes below depth 32)"
    assert len(lines) == 1 + 32 + 1 + 1
    assert facts["draw s"] < 10


def test_million_nodes_are_freed_without_recursion(facts):
    assert facts["drop the tensor s"] < 1  # the node holds all of it
    assert facts["repr"] == "Node(NegBackward0, next=[NegBackward0])"
    assert facts["drop the node s"] < 10

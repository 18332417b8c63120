"""`graph`: the order that it predicts is the one in which backward runs."""

from __future__ import annotations

import pytest
import torch
from graph.models import MODELS, loss_of

import libgrad


def hook_all(*tensors):
    """Nodes behind `tensors`, in a list that fills up as they run."""
    ran, todo, seen = [], [torch.autograd.graph.get_gradient_edge(t).node for t in tensors], set()
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        node.register_prehook(lambda grads, node=node: ran.append(node))
        todo += [next for next, _ in node.next_functions if next is not None]
    return ran


def key(node):
    """What tells two nodes of torch apart and is in the snapshot as well."""
    return node.name().rpartition("::")[2], node._sequence_nr()


def check(*tensors):
    ran = hook_all(*tensors)
    g = libgrad.graph(*tensors)
    torch.autograd.backward(tensors, [torch.ones_like(t) for t in tensors])
    predicted = sorted(g.nodes, key=lambda node: node.order)
    assert [node.order for node in predicted] == list(range(len(ran)))
    assert [(node.name, node.sequence_nr) for node in predicted] == list(map(key, ran))


@pytest.mark.parametrize("name", [n for n in MODELS if "C++" not in n])
def test_order_is_that_of_hooks(name):
    make, data = MODELS[name]
    check(loss_of(make(), data()))


def test_leaves_run_in_the_order_of_the_engine():
    xs = [torch.tensor([float(i)], requires_grad=True) for i in range(20)]
    y = (torch.cat(xs) * torch.stack(xs[::-1], 1)).sum()
    ran = []
    for i, x in enumerate(xs):
        torch.autograd.graph.get_gradient_edge(x).node.register_prehook(
            lambda grads, i=i: ran.append(str(i))
        )
    g = libgrad.graph(y, params={str(i): x for i, x in enumerate(xs)})
    y.backward()
    assert [n.leaf for n in sorted(g.leaves, key=lambda n: n.order)] == ran


def test_several_roots_run_as_from_one_node_in_front():
    x = torch.randn(3, requires_grad=True)
    y = x.exp()
    z = y.sin()
    check(y.cos(), z, (z * y).tanh())


def test_nodes_of_two_threads_keep_their_order():
    from threading import Thread

    x = torch.randn(3, requires_grad=True)
    made = [x.exp().sin()]
    thread = Thread(target=lambda: made.append(x.cos().tanh().exp().neg()))
    thread.start()
    thread.join()
    y = made[0] * made[1]
    assert len({n.thread for n in libgrad.graph(y).nodes}) >= 2
    check(y)

"""`Graph.why`: which paths of a graph lead to a tensor, and who saved it."""

from __future__ import annotations

import gc
import itertools
import random
import threading
import time
import weakref

import pytest
import torch
from graph.models import Keep, demo
from torch import nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import checkpoint

import libgrad


def leaf(*sizes):
    return torch.ones(*sizes or (2,), requires_grad=True)


def all_paths(g, node, input=0):
    """Every path of `g` to an input of `node`, found by trying all."""
    ends = []

    def walk(path, entered):
        if path[-1] == node:
            if entered == input:
                ends.append(path)
            return
        for next in g.nodes[path[-1]].next:
            if next is not None:
                walk((*path, next[0]), next[1])

    for root in g.roots:
        walk((root.node,), root.input)
    return ends


def test_every_path_is_found_and_the_shortest_come_first():
    torch.manual_seed(0)
    x, y = leaf(), leaf()
    made = [x, y]
    for i in range(12):
        a, b = made[i], made[torch.randint(i + 1, (1,))]
        made.append([a * b, a + b, a.sin(), torch.stack([a, b]).unbind()[1]][i % 4])
    g = libgrad.graph(made[-1], made[-2], params={"x": x, "y": y})
    for tensor, max_paths in itertools.product(made, [1, 3, 1000]):
        expected = []
        why = g.why(tensor, max_paths=max_paths)
        if why.node is not None:
            expected = all_paths(g, why.node, tensor.output_nr)
        assert why.total == len(expected)
        assert why.exact
        distinct = set(expected)
        assert len(why.paths) == len(set(why.paths)) == min(max_paths, len(distinct))
        assert set(why.paths) <= distinct
        lengths = [len(path) for path in why.paths]
        assert lengths == sorted(map(len, distinct))[: len(lengths)]


def test_text_of_a_leaf_used_twice():
    x = leaf()
    why = libgrad.graph((x * x).sum(), params={"x": x}).why(x)
    assert (why.paths, why.total, why.saved, why.node) == ([(0, 1, 2)], 2, [0, 1], 2)
    assert repr(why) == "GraphWhy(2 paths, 2 saved)"
    assert str(why) == (
        "2 paths to 'x' (node 2), the shortest of 3 nodes:\n"
        "  0  SumBackward0\n"
        "  1  MulBackward0\n"
        "  2  AccumulateGrad (x) ×2\n"
        "saved by node 1, MulBackward0 (other, self)"
    )


def test_text_folds_what_repeats_and_names_modules():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x):
            for _ in range(40):
                x = (x * self.weight).sin()
            return x

    block = Block()
    model = nn.Sequential(block)
    x = leaf()
    with libgrad.record():
        y = model(x)
    why = libgrad.graph(y, params={"x": x}).why(x)
    where = f"  0, {__file__}:{block.forward.__code__.co_firstlineno + 2}"
    assert str(why) == (
        "1 path to 'x' (node 81), of 81 nodes:\n"
        f"   0 ┌ SinBackward0{where}\n"
        f"   1 └ MulBackward0{where}  (these 2, 40 times in a row)\n"
        "  81   AccumulateGrad (x)\n"
        f"saved by node 80, MulBackward0 (self){where}"
    )


def test_long_paths_are_shortened():
    chance = random.Random(0)
    x = leaf()
    y = x
    for _ in range(500):
        y = chance.choice([torch.sin, torch.exp, torch.neg, torch.tanh])(y)
    text = str(libgrad.graph(y, params={"x": x}).why(x))
    assert len(text.splitlines()) < 60
    assert " more ..." in text
    assert "AccumulateGrad (x)" in text


def test_tensor_that_was_computed_ends_paths_at_its_node():
    x = leaf()
    y = x.exp()
    g = libgrad.graph((y * 2 + y.sin()).sum())
    why = g.why(y)
    assert g.nodes[why.node].name == "ExpBackward0"
    assert why.total == 2
    assert {(g.nodes[g.saved[i].node].name, g.saved[i].field) for i in why.saved} == {
        ("SinBackward0", "self"),
        ("ExpBackward0", "result"),
    }
    assert g.why(y[0]).paths == why.paths  # a view of it that the graph does not have
    assert "which it is a view of" in str(g.why(y[0]))


def test_only_the_right_output_counts():
    first, second, third = leaf(3).unbind(0)
    g = libgrad.graph(first * second.sin())
    assert g.why(first).paths == [(0, 1)]
    assert g.why(second).paths == [(0, 2, 1)]
    assert "output 1" in str(g.why(second))
    unused = g.why(third)
    assert not unused
    assert (unused.paths, unused.total, unused.node) == ([], 0, 1)
    assert str(unused) == (
        "the graph does not use this tensor (float32 [] on cpu): of node 1, UnbindBackward0, "
        "which made it, only other outputs are used"
    )


def test_tensor_without_gradient_ends_paths_at_those_who_saved_it():
    x, data = leaf(), torch.ones(2)
    g = libgrad.graph((x * data).sin() + data.exp() * x)
    for tensor in (data, data[:1], data.view(1, 2), data.detach()):
        why = g.why(tensor)
        assert [g.nodes[path[-1]].name for path in why.paths] == ["MulBackward0"]
        assert why.node is None
        assert str(why).startswith("1 path to nodes that saved a tensor in its memory, of 3 nodes")
    why = libgrad.graph(x * data * data).why(data)
    assert why.paths == [(0,), (0, 1)]  # on the way to another one, too


def test_parts_of_memory_are_told_apart():
    data = torch.ones(6)
    g = libgrad.graph(leaf() * data[2:4])
    assert g.why(data)
    assert g.why(data[3:])
    assert not g.why(data[:2])
    assert not g.why(data[4:])
    assert g.why(data[1::2])


def test_falsy_answers_say_why():
    x, frozen = leaf(), torch.ones(2)
    g = libgrad.graph(x.sum(), params={"x": x})
    says = "the graph does not use this tensor (float32 [2] on cpu): "
    assert str(g.why(frozen)) == says + "requires_grad is False"
    shares = "; it shares memory with 'x' (node 1)"
    assert str(g.why(x.detach())) == says + "requires_grad is False" + shares
    assert str(g.why(leaf())) == says + "nothing in the graph shows a use of it"
    assert "computed by ExpBackward0, which is not in the graph" in str(g.why(x.exp()))
    assert not g.why(torch.ones(0))


def test_roots_of_every_kind():
    x = leaf()
    y = x.exp()
    assert libgrad.graph(x).why(x).paths == [(0,)]
    assert libgrad.graph(y).why(y).saved == [0]  # held by the root and the graph alone
    twice = libgrad.graph(y, y).why(x)
    assert (twice.paths, twice.total) == ([(0, 1)], 2)
    both = libgrad.graph(y.sin(), y).why(y)
    assert both.paths == [(1,), (0, 1)]
    edge = libgrad.graph(get_gradient_edge(y))
    assert edge.why(y).paths == [(0,)]
    assert edge.why(x).paths == [(0, 1)]
    parts = x.unbind(0)
    edge = libgrad.graph(get_gradient_edge(parts[1]))
    assert edge.why(parts[1]).paths == [(0,)]
    assert not edge.why(parts[0])


def test_nodes_of_every_kind_are_on_paths():
    x = leaf(2, 2)

    class Ours(libgrad.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad

    y = x.clone()
    y[0].mul_(2)
    for end in (
        demo.swish(x),
        Keep.apply(x),
        Ours.apply(x),
        checkpoint(lambda x: x.sin().exp(), x, use_reentrant=False),
        torch.compile(lambda x: x.sin().exp(), backend="aot_eager")(x),
        y,
    ):
        g = libgrad.graph(end.sum())
        why = g.why(x)
        assert g.nodes[why.paths[0][-1]].kind == "leaf"
        assert why.total == len(all_paths(g, why.node))


def test_a_million_edges_and_astronomically_many_paths_take_no_time():
    x = leaf(1)
    chain = x
    for _ in range(200_000):
        chain = chain.neg()
    ladder, squares, deep = x, x, x
    for _ in range(200):
        ladder, squares = ladder.sin() + ladder.cos(), squares * squares
    for _ in range(5000):
        deep = deep.sin() + deep.cos()
    graphs = [libgrad.graph(end, params={"x": x}) for end in (chain, ladder, squares, deep)]
    start = time.thread_time()
    chain, ladder, squares, deep = (g.why(x) for g in graphs)
    assert time.thread_time() - start < 1
    assert chain.paths == [(*range(200_000), 200_000)]
    assert "NegBackward0  (200,000 in a row)" in str(chain)
    assert (ladder.total, squares.total) == (2**200, 2**200)
    assert str(ladder).startswith("about 1.6e60 paths to 'x'")
    assert len(set(ladder.paths)) == 10
    assert len(squares.paths) == 1
    assert "×2  (199 in a row)" in str(squares)
    assert (deep.total, deep.exact, ladder.exact) == (2**4096, False, True)
    assert str(deep).startswith("more than 1e1233 paths")


def test_memory_is_free_while_the_snapshot_lives():
    graphs = []
    freed = demo.freed_bytes(
        lambda: [nn.Parameter(torch.randn(100_000)), torch.randn(100_000)],
        lambda made: graphs.append(libgrad.graph((made[0] * made[1]).sum())),
    )
    assert freed == pytest.approx(800_000, rel=0.01)


@pytest.mark.parametrize("snapshot_first", [False, True])
def test_tensors_and_snapshots_die_in_any_order(snapshot_first):
    x, data = nn.Parameter(torch.randn(10)), torch.randn(10)
    g = libgrad.graph((x * data).sum())
    gone = weakref.ref(x), weakref.ref(data), weakref.ref(x.untyped_storage())
    if snapshot_first:
        del g
        assert x.sum().isfinite()
    del x, data
    assert [ref() for ref in gone] == [None] * 3


def test_addresses_are_not_taken_for_those_that_had_them_before():
    data = torch.ones(2)
    graphs = []
    for i in range(200):
        x = leaf()
        y = x.exp()
        g = libgrad.graph((y.sin() * data[:1]).sum(), params={"x": x})
        graphs.append((g, i))
        assert g.why(x)
        assert g.why(y)
        others = [not g.why(x) and not g.why(y) for g, j in graphs if j != i]
        assert all(others)
        alias = x.detach()
        del x, y, g
        again = alias.detach().requires_grad_()  # likely where x was
        assert not graphs[-1][0].why(again)
        del alias, again


def test_a_leaf_is_found_when_the_graph_is_gone():
    x = leaf()
    loss = (x * 2).sum()
    g = libgrad.graph(loss, params={"x": x})
    loss.backward()
    del loss
    gc.collect()
    x.data = torch.zeros(2)  # an optimizer's way to step
    assert g.why(x).paths == [(0, 1, 2)]


def test_snapshots_may_be_dropped_by_any_thread_and_at_exit():
    x = nn.Parameter(torch.ones(2))
    holder = [libgrad.graph((x * 2).sum()) for _ in range(100)]
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()
    globals()["kept_until_exit"] = libgrad.graph((x * 2).sum()), x


def test_swap_tensors_waits_for_snapshots_as_for_graphs():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))
    g = libgrad.graph(a.sum())
    with pytest.raises(RuntimeError, match="weakrefs"):
        torch.utils.swap_tensors(a, b)
    del g
    torch.utils.swap_tensors(a, b)
    assert a.sum() == 0


def test_nothing_runs():
    ran = []
    x = leaf()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.detach().clone(), lambda t: ran.append(t) or t
    ):
        y = x.exp().sin()
    y.register_hook(ran.append)
    x.register_hook(ran.append)
    y.grad_fn.register_prehook(lambda grads: ran.append(grads))
    g = libgrad.graph(y)
    assert g.why(x)
    assert not g.unused({"x": x})
    assert not ran


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda g, x: g.why(3), TypeError, "why: tensor must be a tensor, but is int"),
        (lambda g, x: g.why(None), TypeError, "but is NoneType"),
        (lambda g, x: g.why(x, max_paths=0), ValueError, "at least 1, but is 0"),
        (lambda g, x: g.why(x, max_paths=-(10**30)), ValueError, "but is -1000000000"),
        (lambda g, x: g.why(x, max_paths=2.0), TypeError, "max_paths must be an int.* float"),
        (lambda g, x: g.why(x, max_paths=True), TypeError, "max_paths must be an int.* bool"),
        (lambda g, x: g.why(x, 3), TypeError, "why"),
        (lambda g, x: g.why(), TypeError, "why"),
    ],
    ids=["int", "none", "zero", "negative", "float", "bool", "positional", "nothing"],
)
def test_errors_name_the_argument(call, error, says):
    x = leaf()
    with pytest.raises(error, match=says):
        call(libgrad.graph(x.sum()), x)


def test_max_paths_may_be_any_number():
    x = leaf()
    g = libgrad.graph(x.sin() + x.cos())
    assert len(g.why(x, max_paths=10**30).paths) == 2

"""`graph`: what the snapshot says of nodes and saved tensors, beside torch's own attributes."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref

import pytest
import torch
from graph.models import MODELS, Keep, demo, loss_of
from torch import nn
from torch.autograd.graph import get_gradient_edge

import libgrad


def torch_nodes(tensor):
    """Nodes behind `tensor`, breadth first, as torch has them."""
    nodes = [get_gradient_edge(tensor).node]
    seen = set(nodes)
    for node in nodes:
        for next, _ in node.next_functions:
            if next is not None and next not in seen:
                seen.add(next)
                nodes.append(next)
    return nodes


def saved_of(node):
    """What torch shows of a node's saved tensors: shapes and dtypes by field."""
    fields = {}
    for name in sorted(n for n in dir(node) if n.startswith("_saved_")):
        value = getattr(node, name)
        if isinstance(value, torch.Tensor):
            fields[name.removeprefix("_saved_"), None] = tuple(value.shape), value.dtype
        elif isinstance(value, tuple) and any(isinstance(v, torch.Tensor) for v in value):
            for i, v in enumerate(value):
                if v is not None:
                    fields[name.removeprefix("_saved_"), i] = tuple(v.shape), v.dtype
    return fields


@pytest.mark.parametrize("name", MODELS)
def test_nodes_edges_and_saved_tensors_are_torchs(name):
    make, data = MODELS[name]
    model, x = make(), data()
    loss = loss_of(model, x)
    g = libgrad.graph(loss, params=model)
    theirs = torch_nodes(loss)
    ids = {node: i for i, node in enumerate(theirs)}
    names = {id(p): n for n, p in model.named_parameters()}
    assert len(g) == len(g.nodes) == len(theirs)
    for ours, node in zip(g.nodes, theirs, strict=True):
        assert ours.name in (node.name(), node.name().rpartition("::")[2])
        assert ours.sequence_nr == node._sequence_nr()
        assert ours.next == tuple(
            None if next is None else (ids[next], i) for next, i in node.next_functions
        )
        assert [tuple(i.shape) for i in ours.inputs] == [
            tuple(m.shape) for m in node._input_metadata
        ]
        if hasattr(node, "variable"):
            assert ours.leaf == names.get(id(node.variable))
            assert ours.kind == "leaf"
        if ours.kind == "operator" and "packed" not in {s.state for s in ours.saved}:
            held = {(s.field, s.index): (s.shape, s.dtype) for s in ours.saved if s.state == "held"}
            assert held == saved_of(node)
    assert len(g.edges) == sum(next is not None for n in g.nodes for next in n.next)


def test_saved_versions_tell_what_backward_will_refuse():
    x = torch.randn(3, requires_grad=True)
    y = x.exp()
    z = (y * y).sum()
    y.add_(1)
    g = libgrad.graph(z, y)
    stale = {(g.nodes[s.node].name, s.field) for s in g.saved if s.stale}
    assert stale == {
        ("MulBackward0", "self"),
        ("MulBackward0", "other"),
        ("ExpBackward0", "result"),
    }
    saved = next(s for s in g.saved if s.stale)
    assert (saved.saved_version, saved.version) == (0, 1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_attributes_of_nodes_and_saved_tensors(device):
    x = torch.randn(2, 3, device=device, requires_grad=True)
    g = libgrad.graph(x.exp().unbind(0)[1], params={"x": x})
    unbind, exp, leaf = g.nodes
    assert (unbind.id, unbind.op, unbind.kind, unbind.order) == (0, "Unbind", "operator", 0)
    assert (g.roots[0].node, g.roots[0].input) == (0, 1)
    assert [repr(i) for i in unbind.inputs] == [f"GraphInput(float32 [3] on {x.device})"] * 2
    assert (unbind.file, unbind.line, unbind.module, unbind.note) == (None, None, None, None)
    assert (unbind.stream is None) == (device == "cpu")
    assert (leaf.leaf, leaf.op, leaf.sequence_nr) == ("x", None, 2**64 - 1)
    (saved,) = exp.saved
    assert saved.field == "result"
    assert saved.is_output
    assert not saved.hooks
    assert (saved.shape, saved.dtype, saved.device) == ((2, 3), torch.float32, x.device)
    assert (saved.nbytes, saved.offset, saved.storage, saved.leaf) == (24, 0, 0, None)
    edge = g.edges[1]
    assert (edge.source, edge.output, edge.target, edge.input) == (1, 0, 2, 0)


def test_sequences_are_those_of_python():
    y = torch.randn(3, requires_grad=True).exp().sin()
    nodes = libgrad.graph(y).nodes
    assert len(nodes) == 3
    assert [n.id for n in nodes] == [n.id for n in nodes[:]] == [0, 1, 2]
    assert [n.id for n in nodes[::-1]] == [2, 1, 0]
    assert nodes[-1].name == "AccumulateGrad"
    with pytest.raises(IndexError, match="index 3 is out of range for 3 entries"):
        nodes[3]
    node = nodes[0]
    del nodes, y
    assert node.name == "SinBackward0"  # a part keeps the snapshot


def test_functions_show_what_they_keep():
    x = torch.randn(3, requires_grad=True)
    swish, keep = libgrad.graph(demo.swish(x)).nodes[0], libgrad.graph(Keep.apply(x)).nodes[0]
    assert (swish.name, swish.kind, swish.op) == ("SwishBackward", "function", "Swish")
    assert [(s.field, s.index) for s in swish.saved] == [("saved_tensors", 0)]
    assert (keep.name, keep.kind) == ("KeepBackward", "python")
    assert [(s.field, s.index) for s in keep.saved] == [("saved_tensors", 0), ("ctx.kept", None)]
    y = Keep.apply(x).sum()
    y.backward()
    node = libgrad.graph(y).nodes[1]
    assert node.note == "a backward freed its saved tensors"
    assert [s.field for s in node.saved] == ["ctx.kept"]  # which stays


class Ours(libgrad.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_libgrads_own_function_is_a_function():
    node = libgrad.graph(Ours.apply(torch.randn(3, requires_grad=True))).nodes[0]
    assert node.name == "OursBackward"
    assert node.kind in ("function", "python")  # the latter in an older torch
    assert [(s.field, s.index, s.nbytes) for s in node.saved] == [("saved_tensors", 0, 12)]


def test_compiled_graph_is_one_node():
    f = torch.compile(lambda x: (x.sin() * x).sum(), backend="aot_eager")
    g = libgrad.graph(f(torch.randn(3, requires_grad=True)))
    node = g.nodes[0]
    assert (node.name, node.kind) == ("CompiledFunctionBackward", "compiled")
    assert [s.nbytes for s in node.saved if s.field == "saved_tensors"]


def test_views_written_into_show_the_operator():
    x = torch.randn(3, requires_grad=True)
    y = x.clone()
    y[0].mul_(x[1])
    node = libgrad.graph(y).nodes[0]
    assert (node.name, node.kind, node.op) == ("CopySlices", "view", "Mul")
    assert {s.field for s in node.saved} == {"self", "other"}


def test_hooks_are_counted_and_do_not_run():
    ran = []
    x = torch.randn(3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.detach().clone(), lambda t: ran.append(t) or t
    ):
        y = x.exp().sin()
    y.register_hook(ran.append)
    x.register_hook(ran.append)
    y.grad_fn.register_hook(lambda *grads: ran.append(grads))
    g = libgrad.graph(y)
    assert not ran
    assert [n.hooks for n in g.nodes] == [2, 0, 1]
    saved = g.nodes[0].saved[0]
    assert (saved.state, saved.hooks, saved.shape, saved.nbytes) == ("packed", True, (3,), 12)
    y.sum().backward()
    assert ran


@pytest.mark.parametrize("name", MODELS)
def test_snapshot_changes_nothing(name):
    def run(look):
        torch.manual_seed(0)
        make, data = MODELS[name]
        model, x = make(), data().requires_grad_()
        loss = loss_of(model, x)
        versions = [p._version for p in model.parameters()]
        if look:
            before = libgrad.graph(loss, params=model)
            after = libgrad.graph(loss, params=model)
            assert list(map(repr, before.saved)) == list(map(repr, after.saved))
            assert before.exclusive_nbytes == after.exclusive_nbytes
        assert versions == [p._version for p in model.parameters()]
        loss.backward()
        return [x.grad, *(p.grad for p in model.parameters())]

    for ours, theirs in zip(run(True), run(False), strict=True):
        assert (ours is theirs is None) or torch.equal(ours, theirs)


def test_copy_is_the_graph_and_pickle_says_what_to_do():
    g = libgrad.graph(torch.ones(2, requires_grad=True).exp())
    assert copy.copy(g) is g
    assert copy.deepcopy({"g": g})["g"] is g
    with pytest.raises(TypeError, match=r"Graph: a snapshot cannot be pickled; its to_json\(\)"):
        pickle.dumps(g)


def test_snapshot_keeps_nothing_alive():
    x = torch.randn(3, requires_grad=True)
    y = x.exp()
    tensor, saved = weakref.ref(y), weakref.ref(hidden := y.sin())
    y = (y * hidden).sum()
    del hidden
    g = libgrad.graph(y)
    assert tensor() is not None
    del y
    gc.collect()
    assert tensor() is None
    assert saved() is None
    assert g.nodes[1].saved[0].nbytes == 12


def test_long_chain_costs_no_stack():
    y = torch.ones(1, requires_grad=True)
    for _ in range(100_000):
        y = y.neg()
    g = libgrad.graph(y)
    assert len(g.nodes) == 100_001
    assert g.nodes[-1].order == 100_000


def test_graph_may_be_dropped_by_another_thread():
    for _ in range(20):
        holder = [torch.ones(1, requires_grad=True)]
        for _ in range(2000):
            holder[0] = holder[0].sin()
        thread = threading.Thread(target=holder.clear)
        root = holder[0]
        thread.start()
        g = libgrad.graph(root)
        del root
        thread.join()
        assert len(g.nodes) == 2001


def test_roots_of_every_kind():
    x = torch.randn(3, requires_grad=True)
    y = x.exp()
    assert len(libgrad.graph(x).nodes) == 1
    assert [r.node for r in libgrad.graph(y, y, x).roots] == [0, 0, 1]
    edge = get_gradient_edge(y)
    assert [n.name for n in libgrad.graph(edge).nodes] == ["ExpBackward0", "AccumulateGrad"]
    parts = x.unbind(0)
    assert libgrad.graph(get_gradient_edge(parts[2])).roots[0].input == 2


def test_params_of_every_kind():
    layer = nn.Linear(2, 2)
    y = layer(torch.ones(1, 2)).sum()
    for params in (
        layer,
        dict(layer.named_parameters()),
        layer.named_parameters(),
        [("weight", layer.weight), ("bias", layer.bias), ("again", layer.bias)],
    ):
        leaves = libgrad.graph(y, params=params).leaves
        assert sorted(leaf.leaf for leaf in leaves) == ["bias", "weight"]
    assert [leaf.leaf for leaf in libgrad.graph(y).leaves] == [None, None]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_of_every_kind_are_looked_at():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        y = nn.Linear(4, 4)(torch.randn(2, 4)).relu().sum()
    assert libgrad.graph(y).nbytes > 0
    x = torch.eye(3, requires_grad=True)
    assert len(libgrad.graph(torch.sparse.mm(x.to_sparse(), x)).nodes) > 2
    rows = [torch.randn(2, 3, requires_grad=True), torch.randn(4, 3)]
    for layout in (torch.strided, torch.jagged):
        nested = torch.nested.as_nested_tensor(rows, layout=layout)
        g = libgrad.graph(nested * 2 if layout is torch.strided else nested.sin())
        assert len(g.nodes) > 1
    seen = []

    def inside(x):
        y = (x.sin() * x).sum()
        if y.requires_grad:
            seen.append(libgrad.graph(y))
        return y

    torch.func.grad(inside)(torch.randn(3))
    torch.func.vmap(inside)(torch.randn(2, 3, requires_grad=True))
    assert seen
    assert all(len(g.saved) >= 3 for g in seen)


def test_symbolic_sizes_are_unknown():
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    mode = FakeTensorMode(shape_env=ShapeEnv())
    x = mode.from_tensor(torch.randn(5, 3, requires_grad=True), static_shapes=False)
    with mode:
        saved = libgrad.graph(x.exp()).nodes[0].saved[0]
    assert saved.shape == (-1, -1)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: libgrad.graph(), TypeError, "graph: expected at least one tensor"),
        (lambda x: libgrad.graph(x, 3), TypeError, "graph: tensor 1 must be a tensor, but is int"),
        (
            lambda x: libgrad.graph(x, torch.ones(2)),
            RuntimeError,
            r"graph: tensor 1 \(float32 \[2\] on cpu\) does not require grad, so there is no graph",
        ),
        (lambda x: libgrad.graph(x, params=x), TypeError, "graph: params must be a module, a dict"),
        (lambda x: libgrad.graph(x, params=3), TypeError, "params must be a module.* but is int"),
        (
            lambda x: libgrad.graph(x, params=[x]),
            TypeError,
            "pairs of a name and a tensor.* Tensor",
        ),
        (lambda x: libgrad.graph(x, params={1: x}), TypeError, "must be str, but one is 1"),
        (
            lambda x: libgrad.graph(x, params={"a": 1}),
            TypeError,
            r"graph: params\['a'\] must be a tensor, but is int",
        ),
    ],
    ids=["nothing", "no tensor", "no graph", "tensor", "int", "no pairs", "no name", "no value"],
)
def test_errors_name_the_argument(call, error, says):
    with pytest.raises(error, match=says):
        call(torch.ones(1, requires_grad=True))


def test_reprs():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x * x.exp()
    g = libgrad.graph(y, params={"x": x})
    assert repr(g) == "Graph(3 nodes, 3 edges, 1 leaf, 3 saved tensors, 16 bytes)"
    assert repr(g.nodes[0]) == "GraphNode(0, MulBackward0, 2 saved, 16 bytes)"
    assert repr(g.nodes[1]) == "GraphNode(1, AccumulateGrad of x)"
    assert repr(g.saved[0]) == "SavedTensor(other, float32 [2], 8 bytes)"
    assert repr(g.edges[0]) == "GraphEdge(output 0 of node 0 to input 0 of node 1)"
    assert repr(g.roots[0]) == "GraphRoot(input 0 of node 0)"
    assert repr(g.storages[1]) == "GraphStorage(8 bytes on cpu, owner leaf)"
    assert repr(g.nodes) == "<3 entries of a graph>"
    y.sum().backward()
    assert repr(libgrad.graph(y).saved[0]) == "SavedTensor(other, released)"

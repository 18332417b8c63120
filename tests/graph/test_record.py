"""`record`: operator, source line and module of the nodes that were made inside."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref

import pytest
import torch
from torch import nn

import libgrad


def here() -> int:
    """The line that calls this."""
    return inspect.currentframe().f_back.f_lineno


def made(tensor):
    """The node that made `tensor`, in a snapshot."""
    return libgrad.graph(tensor).nodes[0]


def test_node_knows_operator_and_line(device):
    x = torch.ones(3, device=device, requires_grad=True)
    with libgrad.record():
        y, line = x.sin(), here()
        z, after = torch.add(y, 1), here()
    assert (made(y).op, made(y).line) == ("aten::sin", line)
    assert (made(z).op, made(z).line) == ("aten::add.Tensor", after)
    assert made(z).file == __file__


def test_nodes_made_outside_know_their_name_alone():
    x = torch.ones(3, requires_grad=True)
    before = x.sin()
    with libgrad.record():
        pass
    after = before.cos()
    for tensor, op in ((before, "Sin"), (after, "Cos")):
        node = made(tensor)
        assert (node.op, node.file, node.line, node.module) == (op, None, None, None)


def test_line_is_the_users_below_calls_of_torch():
    layer, x = nn.TransformerEncoderLayer(4, 1, 4, dropout=0.0), torch.ones(2, 1, 4)
    with libgrad.record():
        y, line = layer(x), here()
    lines = {node.line for node in libgrad.graph(y).nodes if node.kind != "leaf"}
    assert lines == {line}


def helper(x):
    return x.exp() * 2


def test_line_is_that_of_the_innermost_function():
    x = torch.ones(3, requires_grad=True)
    with libgrad.record():
        y = helper(x)
    assert made(y).line == helper.__code__.co_firstlineno + 1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.encoder(x) * 2)


def test_module_is_the_path_from_the_outermost_one():
    net = Net()
    with libgrad.record():
        loss = net(torch.ones(2, 4)).sum()
    of = {(node.name, node.module) for node in libgrad.graph(loss).nodes if node.kind != "leaf"}
    assert ("SumBackward0", None) in of  # after the module
    assert ("MulBackward0", None) in of  # in the outermost one itself
    assert ("AddmmBackward0", "head") in of
    assert ("AddmmBackward0", "encoder.0") in of
    assert ("AddmmBackward0", "encoder.2") in of
    assert ("TanhBackward0", "encoder.1") in of


def test_module_that_is_no_submodule_is_named_by_its_class():
    other = nn.Sequential(nn.Linear(4, 4))

    class Outer(nn.Module):
        def forward(self, x):
            return others[0](x)

    others = [other]
    with libgrad.record():
        y = Outer()(torch.ones(2, 4))
    assert made(y).module == "(Sequential).0"


def test_an_exception_in_forward_leaves_the_modules_in_order():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    net = nn.Sequential(nn.Linear(2, 2), Fails())
    with libgrad.record():
        with pytest.raises(KeyError, match="mine"):
            net(torch.ones(1, 2))
        y = torch.ones(2, requires_grad=True).sin()
    assert made(y).module is None


def test_modules_are_called_by_torch_alone_when_nobody_records():
    before = nn.Module.__call__
    with libgrad.record():
        with libgrad.record():
            assert nn.Module.__call__ is not before
        assert nn.Module.__call__ is not before
    assert nn.Module.__call__ is before


def test_who_puts_another_call_meanwhile_keeps_it(monkeypatch):
    def call(self, *args, **kwargs):
        return theirs(self, *args, **kwargs)

    before = nn.Module.__call__
    net = nn.Sequential(nn.Linear(2, 2))
    with libgrad.record():
        theirs = nn.Module.__call__
        monkeypatch.setattr(nn.Module, "__call__", call)
        y = net(torch.ones(1, 2))
    assert made(y).module == "0"
    assert nn.Module.__call__ is call
    assert net(torch.ones(1, 2)).shape == (1, 2)
    with libgrad.record():
        y = net(torch.ones(1, 2))
    assert made(y).module == "0"
    monkeypatch.undo()  # puts back what there was inside: it does nothing any more
    assert net(torch.ones(1, 2)).shape == (1, 2)
    nn.Module.__call__ = before


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_modules_run_under_record(backend):
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with libgrad.record():
        y = torch.compile(net, backend=backend, fullgraph=True)(torch.ones(1, 2))
    assert y.equal(net(torch.ones(1, 2)))


def test_another_thread_is_not_recorded():
    x, results = torch.ones(3, requires_grad=True), []
    net = nn.Linear(3, 3)
    with libgrad.record():
        thread = threading.Thread(target=lambda: results.append(net(x)))
        thread.start()
        thread.join()
    assert made(results[0]).line is None
    assert made(results[0]).module is None


def test_nodes_that_backward_makes_are_recorded():
    x = torch.ones(3, requires_grad=True)
    with libgrad.record():
        (g,) = libgrad.grad(x.pow(3).sum(), x, create_graph=True)
        line = here() - 1
    assert made(g).op == "aten::mul.Tensor"
    assert made(g).line == line


def test_functions_of_python_and_cpp_are_recorded():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = torch.ones(3, requires_grad=True)
    with libgrad.record():
        y, line = Twice.apply(x), here()
        z, after = libgrad._C._demo.swish(x), here()
    assert (made(y).op, made(y).line) == ("Twice", line)
    assert (made(z).op, made(z).line) == ("Swish", after)


def test_nothing_of_the_graph_is_kept_alive():
    x = torch.ones(3, requires_grad=True)
    net = nn.Linear(3, 3)
    with libgrad.record():
        y = net(x)
    gone = weakref.ref(net), weakref.ref(y)
    del net, y
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_gradients_are_the_same_bit_for_bit():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(5, 4)
    expected = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    with libgrad.record():
        grads = torch.autograd.grad(net(x).sum(), list(net.parameters()))
    for mine, theirs in zip(grads, expected, strict=True):
        assert mine.equal(theirs)


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")  # of an older torch
def test_works_beside_the_profiler_and_torch_func():
    x = torch.ones(3, requires_grad=True)
    with torch.profiler.profile(), libgrad.record():
        y, line = x.sin(), here()
    assert made(y).line == line
    with libgrad.record():
        assert torch.func.grad(lambda t: t.sin().sum())(torch.ones(2)).shape == (2,)


def test_leaving_what_was_not_entered_is_an_error():
    with pytest.raises(RuntimeError, match="record: left without being entered"):
        libgrad.record().__exit__(None, None, None)


def test_leaving_in_another_thread_is_an_error():
    errors = []

    def leave():
        try:
            recorder.__exit__(None, None, None)
        except RuntimeError as error:
            errors.append(str(error))

    with libgrad.record() as recorder:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert errors == ["record: left by another thread than entered it"]

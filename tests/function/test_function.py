"""C++ Functions bound by def_function: their node, subclasses, checkpoints, hooks and threads."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from function import gallery
from function.gallery import Case, scalar, vectors
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import libgrad


@pytest.fixture(scope="module")
def m(gallery_module):
    return gallery_module


@pytest.fixture(params=gallery.NAMES)
def case(request, m) -> Case:
    return next(case for case in gallery.cases(m) if case.name == request.param)


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape or (3,), dtype=torch.float64, requires_grad=True)


def test_values_and_gradients_of_three_orders(case):
    inputs = [x.requires_grad_() for x in vectors(case)]

    def orders(f):
        y = f(*inputs)
        found = [y]
        for _ in range(3):
            y = torch.autograd.grad(
                scalar(lambda y=y: y)(), inputs, create_graph=True, materialize_grads=True
            )
            found.append(y)
        return found

    torch.testing.assert_close(orders(case.ours), orders(case.theirs), rtol=1e-9, atol=1e-10)


def test_gradcheck_and_gradgradcheck(case):
    if not case.exact:
        pytest.skip("its gradient is not the derivative")
    inputs = [x.requires_grad_() for x in vectors(case)]
    for fast in (False, True):
        assert gradcheck(case.ours, inputs, fast_mode=fast)
        assert gradgradcheck(case.ours, inputs, fast_mode=fast)


def test_complex(m):
    x = torch.randn(3, dtype=torch.complex128, requires_grad=True)
    for f in (m.cube, m.exp, m.abs2):
        assert gradcheck(f, (x,))


class TestNode:
    def test_class_is_named_after_the_struct(self, m):
        node = m.cube(leaf()).grad_fn
        assert type(node).__name__ == node.name() == "CubeBackward"
        assert isinstance(node, torch.autograd.graph.Node)
        assert issubclass(type(node), torch.autograd.graph.Node)
        assert "grad_fn=<CubeBackward>" in repr(m.cube(leaf()))
        assert type(m.vector_sum([leaf()]).grad_fn).__name__ == "VectorSumBackward"

    def test_saved_tensors_can_be_read(self, m):
        x, w = leaf(), leaf()
        node = m.product(x, w).grad_fn
        assert all(a is b for a, b in zip(node.saved_tensors, (x, w), strict=True))
        assert node._saved_0 is x
        assert node._saved_1 is w
        assert [n for n in dir(node) if "saved" in n] == ["_saved_0", "_saved_1", "saved_tensors"]
        for name in ("_saved_2", "_saved_", "_saved_x", "_saved_99999999999999999999", "other"):
            with pytest.raises(AttributeError, match=name):
                getattr(node, name)

    def test_saved_output_is_the_output(self, m):
        y = m.exp(leaf())
        assert torch.equal(y.grad_fn._saved_0, y)
        assert y.grad_fn._saved_0.grad_fn is y.grad_fn

    def test_freed_graph_is_an_error(self, m):
        y = m.cube(leaf())
        y.sum().backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            _ = y.grad_fn.saved_tensors
        assert not [n for n in dir(y.grad_fn) if n.startswith("_saved_")]

    def test_changed_tensor_is_an_error(self, m):
        x = leaf() * 1
        node = m.cube(x).grad_fn
        x.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            _ = node._saved_0

    def test_has_what_nodes_have(self, m):
        x = leaf()
        y = m.cube(x)
        node = y.grad_fn
        assert node.next_functions[0][0].variable is x
        assert node.metadata == {}
        node.metadata["seen"] = True
        assert y.grad_fn.metadata["seen"]
        seen = []
        node.register_hook(lambda *_: seen.append("after"))
        node.register_prehook(lambda *_: seen.append("before"))
        y.sum().backward()
        assert seen == ["before", "after"]
        assert node._sequence_nr() >= 0

    def test_is_collected(self, m):
        y = m.cube(leaf())
        gone = weakref.ref(y), weakref.ref(y.grad_fn.saved_tensors[0])
        del y
        gc.collect()
        assert [ref() for ref in gone] == [None, None]

    def test_walkers_like_torchviz_see_the_saved_tensors(self, m):
        x = leaf()
        todo, found = [scalar(m.cube)(x).grad_fn], []
        while todo:
            node = todo.pop()
            found += [
                n
                for n in dir(node)
                if n.startswith("_saved_") and type(node).__name__ == "CubeBackward"
            ]
            todo += [n for n, _ in node.next_functions if n is not None]
        assert found == ["_saved_0"]

    def test_print_graph_shows_the_same_name(self, m, capsys):
        libgrad.print_graph(m.cube(leaf()))
        assert capsys.readouterr().out.startswith("CubeBackward  float64 [3]")


class TestSubclasses:
    def test_torch_function_of_a_subclass_is_asked(self, m):
        calls = []

        class Logged(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                calls.append((func, args, kwargs))
                return super().__torch_function__(func, types, args, kwargs or {})

        x = torch.randn(3).as_subclass(Logged)
        y = m.everything([x], None, n=2)
        assert type(y) is Logged
        func, args, kwargs = calls[0]
        assert func is m.everything
        assert args[0][0] is x
        assert kwargs == {"n": 2, "s": 0.5, "mode": "sum", "shift": None}

    def test_mode_is_asked(self, m):
        class Mode(torch.overrides.TorchFunctionMode):
            calls: list = []

            def __torch_function__(self, func, types, args=(), kwargs=None):
                self.calls.append(func)
                return func(*args, **(kwargs or {}))

        with Mode():
            y = m.cube(torch.ones(2))
        assert m.cube in Mode.calls
        assert y.tolist() == [1, 1]
        with torch.device("meta"):
            assert m.cube(torch.ones(2)).device.type == "meta"

    def test_parameter_is_a_plain_tensor(self, m):
        w = torch.nn.Parameter(torch.ones(2))
        y = m.cube(w)
        assert type(y) is torch.Tensor
        y.sum().backward()
        assert w.grad.tolist() == [3, 3]

    def test_fake_and_meta_tensors(self, m):
        from torch._subclasses.fake_tensor import FakeTensorMode

        with FakeTensorMode():
            y = m.pair(torch.ones(3), torch.ones(3))[0]
        assert type(y).__name__ == "FakeTensor"
        assert y.shape == (3,)
        assert m.square(torch.empty(4, device="meta", dtype=torch.float64)).shape == (4,)


@pytest.mark.parametrize("use_reentrant", [False, True], ids=["hooks", "reentrant"])
def test_checkpoint(case, use_reentrant):
    inputs = [x.requires_grad_() for x in vectors(case)]

    def run(*xs):
        return scalar(case.ours)(*xs)

    expected = torch.autograd.grad(run(*inputs), inputs)
    checkpoint(run, *inputs, use_reentrant=use_reentrant).backward()
    for x, gradient in zip(inputs, expected, strict=True):
        assert torch.equal(x.grad, gradient)


def test_saved_tensors_hooks_see_each_saved_tensor(m):
    packed, unpacked = [], []
    x, w = leaf(), leaf()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: packed.append(t) or t, lambda t: unpacked.append(t) or t
    ):
        y = m.product(x, w)
    assert [t.data_ptr() for t in packed] == [x.data_ptr(), w.data_ptr()]
    y.sum().backward()
    assert len(unpacked) == 2
    assert torch.equal(x.grad, w)


def test_autocast(m):
    x = torch.randn(4, 4, requires_grad=True)

    def run(product):
        with torch.autocast("cpu", torch.bfloat16):
            y = product(x @ x, x)
        return y.dtype, torch.autograd.grad(y.float().sum(), x)[0]

    ours, theirs = run(m.product), run(torch.mul)
    assert ours[0] == theirs[0]
    torch.testing.assert_close(ours[1], theirs[1])


def test_eight_threads(case):
    inputs = [x.requires_grad_() for x in vectors(case)]
    expected = torch.autograd.grad(scalar(case.ours)(*inputs), inputs)
    wrong = []

    def work():
        for _ in range(20):
            got = torch.autograd.grad(scalar(case.ours)(*inputs), inputs)
            if not all(torch.equal(a, b) for a, b in zip(got, expected, strict=True)):
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_empty_and_strided_inputs(case):
    for size in (0, 3):
        inputs = [x[::2].requires_grad_() for x in vectors(case, size=2 * size)]
        ours, theirs = (
            torch.autograd.grad(scalar(f)(*inputs), inputs) for f in (case.ours, case.theirs)
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_double_backward_through_an_intermediate_is_wrong_in_libtorch_too(m):
    """What `check` is there to catch: the second derivative is that of a constant."""
    x = leaf()
    assert gradcheck(m.intermediate, (x,))
    with pytest.raises(RuntimeError, match=r"not require grad|Jacobian mismatch|differentiated"):
        gradgradcheck(m.intermediate, (x,))


def test_ddp(m, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = torch.nn.Linear(3, 2, dtype=torch.float64)

            def forward(self, x):
                return m.cube(self.linear(x))

        net, x = Net(), torch.randn(4, 3, dtype=torch.float64)
        expected = torch.autograd.grad(net(x).sum(), list(net.parameters()))
        torch.nn.parallel.DistributedDataParallel(net)(x).sum().backward()
        for p, gradient in zip(net.parameters(), expected, strict=True):
            torch.testing.assert_close(p.grad, gradient)
    finally:
        torch.distributed.destroy_process_group()

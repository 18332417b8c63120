"""libgrad/python.h: C++ Functions as Python sees them (cpp/function/functions.cpp)."""

from __future__ import annotations

import threading

import pytest
import torch
from support import consumer
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint


@pytest.fixture(scope="module")
def functions(cpp_build):
    return consumer.load("functions", cpp_build)


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values or (0.5, -1.5, 2.0), dtype=torch.float64, requires_grad=True)


def test_tensor_and_optional_tensor(functions):
    x, w, b = vector(), vector(1, 2, 3), vector(4, 5, 6)
    y = functions.affine(x, w, b)
    assert torch.equal(y, x * w + b)
    assert type(y) is torch.Tensor
    dx, dw, db = torch.autograd.grad(y.sum(), (x, w, b))
    assert torch.equal(dx, w)
    assert torch.equal(dw, x)
    assert torch.equal(db, torch.ones_like(b))


@pytest.mark.parametrize("bias", [(), (None,)], ids=["default", "None"])
def test_optional_tensor_may_be_left_out(functions, bias):
    x, w = vector(), vector()
    y = functions.affine(x, w, *bias)
    assert torch.equal(y, x * w)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], w)


def test_gradient_flows_through_a_list_of_tensors(functions):
    xs = [vector(1), vector(2), vector(3)]
    y = functions.cube_sum(xs, [1.0, 10.0, 100.0])
    assert y.item() == 1 + 80 + 2700
    gradients = torch.autograd.grad(y, xs)
    assert [g.item() for g in gradients] == [3, 120, 2700]
    assert functions.cube_sum(tuple(xs), weights=[1, 0, 0]).item() == 1


def test_numbers_and_keywords(functions):
    x = vector()
    assert torch.equal(functions.power(x), x**2)
    assert torch.equal(functions.power(x, 3), x**3)
    assert torch.equal(functions.power(x=x, scale=2, extra=1, negate=True), 2 * (-x) ** 3)
    y = functions.power(x, extra=1, scale=0.5, negate=True)
    assert torch.allclose(torch.autograd.grad(y.sum(), x)[0], -1.5 * x**2)


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("dims", [[0], (0, 1)])
def test_string_and_list_of_int(functions, mode, dims):
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    y, expected = functions.reduce(x, mode, dims), getattr(x, mode)(dims, keepdim=True)
    assert torch.allclose(y, expected)
    v = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(y, x, v), torch.autograd.grad(expected, x, v), rtol=0, atol=1e-12
    )


def test_int_array_and_optional_number(functions):
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = functions.permute(x, [2, 0, 1])
    assert torch.equal(y, x.permute(2, 0, 1))
    clamped = functions.permute(x, (2, 0, 1), most=0.0)
    assert torch.equal(clamped, y.clamp_max(0))
    v = torch.randn_like(y)
    assert torch.equal(torch.autograd.grad(y, x, v)[0], v.permute(1, 2, 0))
    assert torch.equal(torch.autograd.grad(clamped, x, v)[0], v.permute(1, 2, 0) * (x < 0))


def test_list_of_outputs_is_a_tuple(functions):
    x = vector()
    result = functions.parts(x)
    assert type(result) is tuple
    positive, negative = result
    assert torch.equal(positive, x.clamp_min(0))
    assert torch.equal(negative, x.clamp_max(0))
    (dx,) = torch.autograd.grad((positive + 10 * negative).sum(), x)
    assert torch.equal(dx, torch.tensor([1.0, 10, 1]).double())
    (dx,) = torch.autograd.grad(functions.parts(x)[0].sum(), x)  # the other gradient is zeros
    assert torch.equal(dx, torch.tensor([1.0, 0, 1]).double())


def test_undefined_output_is_refused_by_libtorch(functions):
    with pytest.raises(RuntimeError, match="undefined tensor"):
        functions.hole(vector())


def test_in_place_returns_the_same_object(functions):
    x = vector()
    y = x * 1
    before, version = y.detach().clone(), y._version
    z = functions.scale_(y, 3.0)
    assert z is y
    assert torch.equal(y, 3 * before)
    assert y._version > version
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.full_like(x, 3))
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        functions.scale_(x, 3.0)


def test_in_place_on_a_view_reaches_its_base(functions):
    x = vector()
    base = x * 1
    functions.scale_(base[:2], 3.0)
    (dx,) = torch.autograd.grad(base.sum(), x)
    assert dx.tolist() == [3, 3, 1]


def test_non_differentiable_output(functions):
    x = vector()
    value, index = functions.largest(x)
    assert value.requires_grad
    assert not index.requires_grad
    assert (value.item(), index.item()) == (2.0, 2)
    assert torch.autograd.grad(value, x)[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize(
    "call",
    [
        lambda f, x, y: f.affine(x, y, x),
        lambda f, x, y: f.cube_sum([x, y], [1.0, -2.0]),
        lambda f, x, y: f.power(x, 3, scale=0.5, negate=True) * y,
        lambda f, x, y: f.reduce(x * y, "mean", [0]),
        lambda f, x, y: f.permute(x * y, [0], most=0.9),
        lambda f, x, y: f.parts(x * y),
        lambda f, x, y: f.scale_(x * y, 2.0),
        lambda f, x, y: f.largest(x * y)[0],
    ],
    ids=["affine", "cube_sum", "power", "reduce", "permute", "parts", "scale_", "largest"],
)
def test_derivatives_are_right(functions, check, call):
    assert check(lambda x, y: call(functions, x, y), (vector(), vector(2, 0.5, 1)))


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f.affine(1.0, vector()),
        lambda f: f.affine(None, vector()),
        lambda f: f.affine(vector()),
        lambda f: f.affine(vector(), vector(), vector(), vector()),
        lambda f: f.affine(vector(), vector(), offset=vector()),
        lambda f: f.cube_sum([vector(), None], [1.0, 1.0]),
        lambda f: f.cube_sum([vector()], ["1.0"]),
        lambda f: f.power(vector(), 2.5),
        lambda f: f.power(vector(), "2"),
        lambda f: f.power(vector(), negate="no"),
        lambda f: f.power(vector(), extra=2**40),
        lambda f: f.reduce(vector(), 1, [0]),
        lambda f: f.reduce(vector(), "sum", 0),
        lambda f: f.permute(vector(), [0], 1.0),
    ],
)
def test_arguments_that_do_not_fit_are_type_errors(functions, call):
    with pytest.raises(TypeError, match="incompatible function arguments"):
        call(functions)


def test_signature_is_in_the_docstring(functions):
    assert "affine(x: torch.Tensor, weight: torch.Tensor, bias: " in functions.affine.__doc__
    assert functions.affine.__doc__.rstrip().endswith("A line.")


ERRORS = [ValueError, IndexError, TypeError, NotImplementedError, RuntimeError]


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("error", ERRORS)
def test_errors_of_c10_have_their_python_types(functions, where, error):
    x = vector()
    with pytest.raises(error) as raised:
        functions.raises(x, **{where: error.__name__}).sum().backward()
    assert raised.type is error
    assert str(raised.value).startswith("bad")
    assert "\n" not in str(raised.value)  # no C++ backtrace
    assert x.grad is None


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_other_exceptions_are_runtime_errors(functions, where):
    with pytest.raises(RuntimeError, match=r"^bad std::runtime_error$"):
        functions.raises(vector(), **{where: "std"}).sum().backward()


def test_forward_runs_without_the_gil(functions):
    """Both calls wait, in C++, for the other: the second one comes through Python."""
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(functions.meet(torch.ones(()), 2)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.item() for result in results] == [2, 2]


def test_threads_do_not_disturb_one_another(functions):
    failures = []

    def work(n: int) -> None:
        for _ in range(50):
            x = vector(n, n + 1)
            functions.power(functions.affine(x, x, x), 2).sum().backward()
            expected = 2 * (x * x + x) * (2 * x + 1)
            if not torch.allclose(x.grad, expected):
                failures.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_saved_tensors_go_through_hooks(functions):
    x, w = vector(), vector(1, 2, 3)
    packed, unpacked = [], []

    def pack(tensor):
        packed.append(tensor.detach().clone())
        return len(packed) - 1

    def unpack(index):
        unpacked.append(index)
        return packed[index]

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = functions.affine(x, w)
    assert [tensor.tolist() for tensor in packed] == [x.tolist(), w.tolist()]
    y.sum().backward()
    assert unpacked == [0, 1]
    assert torch.equal(x.grad, w)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint(functions, use_reentrant):
    x, w = vector(), vector(1, 2, 3)
    calls = []

    def block(x, w):
        calls.append(1)
        return functions.power(functions.affine(x, w), 3)

    y = checkpoint(block, x, w, use_reentrant=use_reentrant)
    y.sum().backward()
    assert len(calls) == 2
    assert torch.allclose(x.grad, 3 * (x * w) ** 2 * w)
    assert torch.allclose(w.grad, 3 * (x * w) ** 2 * x)

"""Functions as LibTorch's own users write them (cpp/function/wild.h), bound without an edit."""

from __future__ import annotations

import pytest
import torch
import torch.autograd.forward_ad as fwd
from support import consumer


@pytest.fixture(scope="module")
def m(cpp_build):
    return consumer.load("functions", cpp_build)


def vectors(count: int) -> list[torch.Tensor]:
    return [torch.randn(3, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_one_undefined_gradient_for_a_whole_list_of_tensors(m, length):
    x, w = vectors(2)
    offsets = vectors(length)
    total = sum(offsets, torch.zeros(3, dtype=torch.float64))
    expected = (total * w, total * x)
    leaves = x.clone().requires_grad_(), w.clone().requires_grad_()
    ours = torch.autograd.grad(m.one_for_the_list(leaves[0], offsets, leaves[1]).sum(), leaves)
    torch.testing.assert_close(ours, expected)
    ours = torch.func.grad(lambda x, w: m.one_for_the_list(x, offsets, w).sum(), (0, 1))(x, w)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("by", [2, 2.5, True, 1j, 2 - 1j])
def test_numbers_of_every_kind(m, by):
    x = torch.randn(3, dtype=torch.complex128 if isinstance(by, complex) else torch.float64)
    x.requires_grad_()
    y = m.numbers(x, by)
    assert torch.equal(y, x * by)
    y = m.numbers(x, by, plus=3, more=[1, 2.5])
    torch.testing.assert_close(y, x * by + 6.5)
    torch.testing.assert_close(torch.ops.functions.numbers(x, by, 3, [1, 2.5]), y)
    torch.testing.assert_close(torch.func.vmap(lambda x: m.numbers(x, by))(x), x * by)
    if not isinstance(by, complex):
        torch.testing.assert_close(torch.autograd.grad(y.sum(), x)[0], torch.full_like(x, by))


def test_numbers_of_numpy(m):
    numpy = pytest.importorskip("numpy")
    x = torch.ones(2, dtype=torch.complex128)
    for by in (numpy.float32(2.5), numpy.int64(3), numpy.complex64(1 + 2j), numpy.bool_(True)):
        assert torch.equal(m.numbers(x, by), x * by.item())


@pytest.mark.parametrize("by", ["2", None, torch.ones(()), [1], 2**80])
def test_what_is_no_number_is_a_type_error(m, by):
    with pytest.raises(TypeError, match=r"by: bool \| int \| float \| complex"):
        m.numbers(torch.ones(2), by)


@pytest.mark.parametrize("mode", [None, "sum"])
def test_references_and_rare_types(m, mode):
    x, w = (v.requires_grad_() for v in vectors(2))
    y = m.rare(x, w, mode, factor=2)
    assert torch.equal(y, ((x + w) if mode else (x * w)) * 2)
    assert m.rare(x, w, shape=[3, 1]).shape == (3, 1)
    expected = (torch.full_like(x, 2),) * 2 if mode else (2 * w, 2 * x)
    torch.testing.assert_close(torch.autograd.grad(y.sum(), (x, w)), expected)
    operator = torch.ops.functions.rare
    assert str(operator.default._schema) == (  # a default that no schema can tell ends all before
        "functions::rare(Tensor x, Tensor w, str? mode, MemoryFormat format, complex factor, "
        "int[]? shape=None) -> Tensor"
    )
    assert torch.equal(operator(x, w, mode, torch.contiguous_format, 2.0), y)
    assert torch.equal(torch.func.vmap(lambda x, w: m.rare(x, w, mode, factor=2))(x, w), y)
    ours = torch.func.grad(lambda x: m.rare(x, w, mode, factor=2).sum())(x)
    torch.testing.assert_close(ours, expected[0])
    images = torch.randn(1, 2, 3, 3)
    last = m.rare(images, images, format=torch.channels_last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_one_tensor_returned_twice(m):
    x, t = vectors(2)
    with fwd.dual_level():
        for y in m.twice(fwd.make_dual(x, t)):
            assert torch.equal(fwd.unpack_dual(y).tangent, 2 * t)
    for tangent in torch.func.jvp(m.twice, (x,), (t,))[1]:
        assert torch.equal(tangent, 2 * t)


def test_input_returned_as_it_is_and_saved(m):
    x, w, t = vectors(3)
    expected = torch.func.jvp(lambda x: (x, x * w), (x,), (t,))
    torch.testing.assert_close(torch.func.jvp(lambda x: m.as_it_is(x, w), (x,), (t,)), expected)
    total = torch.func.grad(lambda x: sum(y.sum() for y in m.as_it_is(x, w)))
    torch.testing.assert_close(total(x), 1 + w)
    assert [y.tolist() for y in torch.func.vmap(m.as_it_is)(x, w)] == [
        x.tolist(),
        (x * w).tolist(),
    ]


def test_output_that_is_not_differentiable_stays_so(m):
    x, t = vectors(2)
    with fwd.dual_level():
        first, second = m.part(fwd.make_dual(x, t))
        assert fwd.unpack_dual(first).tangent is None
        assert torch.equal(fwd.unpack_dual(second).tangent, 2 * t)
    _, (none, twice) = torch.func.jvp(m.part, (x,), (t,))
    assert torch.equal(none, torch.zeros_like(x))
    assert torch.equal(twice, 2 * t)
    assert torch.equal(torch.func.grad(lambda x: sum(m.part(x)).sum())(x), torch.full_like(x, 2))
    mapped = torch.func.grad(lambda x: sum(torch.func.vmap(m.part)(x)).sum())
    assert torch.equal(mapped(x), torch.full_like(x, 2))
    first, second = torch.func.vmap(m.part)(x.requires_grad_())
    assert not first.requires_grad
    assert second.requires_grad


def derivatives(f, x):
    """Each by another route, the second one for functions of one number."""
    one = lambda x: f(x[None])[0]
    return {
        "grad": torch.func.grad(lambda x: f(x).sum())(x),
        "vmap": torch.func.vmap(torch.func.grad(one))(x),
        "jvp": torch.func.jvp(f, (x,), (torch.ones_like(x),))[1],
        "twice": torch.func.vmap(torch.func.grad(torch.func.grad(one)))(x),
        "hessian": torch.func.hessian(lambda x: f(x).sum())(x).diagonal(),
        "forward": torch.func.vmap(torch.func.jacfwd(torch.func.jacfwd(one)))(x),
    }


@pytest.mark.parametrize(("name", "power"), [("calls_ours", 3), ("deep", 4), ("doubles", 1)])
def test_derivatives_by_every_route(m, name, power):
    (x,) = vectors(1)
    plain = (lambda x: x * 2) if name == "doubles" else (lambda x: x**power)
    torch.testing.assert_close(derivatives(getattr(m, name), x), derivatives(plain, x))
    if power == 1:
        return
    leaf = x.clone().requires_grad_()
    with fwd.dual_level():
        y = getattr(m, name)(fwd.make_dual(leaf, torch.ones_like(x)))
        (gradient,) = torch.autograd.grad(y.sum(), leaf)
        expected = power * (power - 1) * x ** (power - 2)
        torch.testing.assert_close(fwd.unpack_dual(gradient).tangent, expected)


@pytest.mark.parametrize("transform", ["grad", "jvp"])
def test_backward_that_calls_apply_is_told_what_to_do(m, transform):
    (x,) = vectors(1)
    assert torch.equal(m.calls_apply(x), x * x * x)
    with pytest.raises(
        RuntimeError, match=r"^Calls<true>: it calls another C\+\+ Function .*apply<G>"
    ):
        if transform == "grad":
            torch.func.grad(lambda x: m.calls_apply(x).sum())(x)
        else:
            torch.func.jvp(m.calls_apply, (x,), (x,))

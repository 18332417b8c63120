"""libgrad.Function computes what torch.autograd.Function does."""

from __future__ import annotations

import pytest
import torch
from function_class.function_classes import BASES, function, ours, theirs
from support.parity import assert_same
from torch.autograd import forward_ad as fw
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

import libgrad


def ones(*shape: int, **options) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64, requires_grad=True, **options)


def test_it_is_a_torch_function_for_whoever_asks() -> None:
    assert issubclass(libgrad.Function, torch.autograd.Function)
    assert type(libgrad.Function) is type(torch.autograd.Function)


@pytest.mark.parametrize("k", [1, 5])
def test_both_forms_of_forward_agree_with_torch(device: str, k: int) -> None:
    x = torch.rand(3, device=device, requires_grad=True)
    w = torch.rand(3, device=device, requires_grad=True)

    def run(f):
        y = f.Cube.apply(x, k)
        z, word = f.Scale.apply(y, w, k)
        values, index = f.Sort.apply(z)
        assert not index.requires_grad
        grads = torch.autograd.grad(values.sum(), (x, w), create_graph=True)
        return y, z, word, values, index, grads, torch.autograd.grad(grads[0].sum(), (x, w))

    assert_same(run(ours), run(theirs))


def test_gradcheck_and_gradgradcheck_pass_in_reverse_and_forward_mode() -> None:
    x, w = torch.rand(3).double().requires_grad_(), torch.rand(3).double().requires_grad_()
    scale = lambda x, w: ours.Scale.apply(x, w)[0]
    assert gradcheck(ours.Cube.apply, x)
    assert gradgradcheck(ours.Cube.apply, x)
    assert gradcheck(scale, (x, w), check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(scale, (x, w), check_fwd_over_rev=True)


def test_arguments_by_name_and_defaults_are_put_in_place() -> None:
    x, w = ones(2), ones(2)
    assert_same(ours.Cube.apply(x, k=3), theirs.Cube.apply(x, k=3))
    for scale in (ours.Scale, theirs.Scale):
        y, _ = scale.apply(w=w, x=x)
        assert len(y.grad_fn.needs_input_grad) == 3  # the default has its place
        assert_same(torch.autograd.grad(y.sum(), x), (torch.full((2,), 2.0).double(),))


def test_what_is_no_tensor_passes_through() -> None:
    token = object()
    seen = []
    f = function(
        lambda ctx, x, t, l: (3, x * l[0], None, [x], t, x * 2),
        lambda ctx, *g: (seen.extend(g), (g[1] + g[5], None, None))[1],
    )
    x = ones(2)
    three, y, none, (raw,), same, z = f.apply(x, token, [x])
    assert (three, none, same, raw) == (3, None, token, x)
    assert (y.output_nr, z.output_nr) == (1, 5)
    libgrad.backward(y.sum())
    assert [g is None for g in seen] == [True, False, True, True, True, False]
    assert_same(x.grad, torch.ones(2).double())
    assert function(lambda ctx, x: [x]).apply(x) == [x]
    assert function(lambda ctx: ()).apply() == ()


def test_mark_dirty_returns_the_same_object_and_counts_the_write() -> None:
    f = function(lambda ctx, x: (ctx.mark_dirty(x), x.mul_(2))[1], lambda ctx, g: g * 2)
    leaf = ones(3)
    x = leaf * 1
    before = x._version
    y = f.apply(x)
    assert y is x
    assert y._version > before
    view = (leaf * 1)[:2]
    assert f.apply(view) is view
    libgrad.backward(y.sum() + view.sum())
    assert leaf.grad.tolist() == [4.0, 4.0, 2.0]


def test_missing_gradients_are_zeros_or_none_as_asked() -> None:
    for materialize, expected in ((True, torch.zeros(2).double()), (False, None)):
        seen = []
        f = function(
            lambda ctx, x: (ctx.set_materialize_grads(materialize), x * 1, x * 2)[1:],
            lambda ctx, a, b: (seen.append(b), a)[1],
        )
        libgrad.backward(f.apply(ones(2))[0].sum())
        assert_same(seen, [expected])


def test_needs_input_grad_tells_which_inputs_require_grad() -> None:
    seen = []
    f = function(
        lambda ctx, x, k, w: (seen.append(ctx.needs_input_grad), x * w)[1],
        lambda ctx, g: (seen.append(ctx.needs_input_grad), (g, None, None))[1],
    )
    libgrad.backward(f.apply(ones(2), 3, torch.ones(2)).sum())
    assert seen == [(True, False, False)] * 2
    with torch.no_grad():
        assert f.apply(ones(2), 3, torch.ones(2)).grad_fn is None


def test_vjp_is_another_name_of_backward() -> None:
    f = function(lambda ctx, x: x * 2, libgrad.Function.backward, vjp=lambda ctx, g: g * 2)
    x = ones(2)
    assert_same(libgrad.grad(f.apply(x).sum(), x), (torch.full((2,), 2.0).double(),))


def test_once_differentiable_refuses_a_second_derivative() -> None:
    f = function(lambda ctx, x: x * 2, once_differentiable(lambda ctx, g: g * 2))
    x = ones(2)
    (g,) = libgrad.grad((f.apply(x) ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        libgrad.backward(g.sum())


@pytest.mark.parametrize("flag", ["clear_saved_tensors_on_access", "boxed_grads_call"])
def test_class_flags_of_torch_hold(flag: str) -> None:
    if not hasattr(torch.autograd.Function, flag):
        pytest.skip("this torch does not have it")
    seen = []

    def backward(ctx, *g):
        (x,) = ctx.saved_tensors
        seen.append(type(g[0]))
        if flag == "clear_saved_tensors_on_access":
            with pytest.raises(RuntimeError, match="can only be accessed once"):
                _ = ctx.saved_tensors
            return g[0] * x
        return g[0].pop() * x

    f = function(lambda ctx, x: (ctx.save_for_backward(x), x * x)[1], backward, **{flag: True})
    x = ones(2)
    libgrad.backward(f.apply(x).sum())
    assert seen == [list if flag == "boxed_grads_call" else torch.Tensor]
    assert x.grad.tolist() == [1.0, 1.0]


def test_forward_mode_calls_jvp_and_says_so_when_there_is_none() -> None:
    x, t = torch.rand(3), torch.rand(3)
    w = torch.rand(3)

    def run(f):
        with fw.dual_level():
            y = f.Scale.apply(fw.make_dual(x, t), w)[0]
            return fw.unpack_dual(y).tangent

    assert_same(run(ours), run(theirs))
    with fw.dual_level(), pytest.raises(NotImplementedError, match="implement the jvp function"):
        ours.Cube.apply(fw.make_dual(x, t))


def test_saved_tensors_are_checked_freed_and_packed_as_torchs() -> None:
    x = ones(2)
    z = x * 1
    y = ours.Cube.apply(z).sum()
    z.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        libgrad.backward(y)
    y = ours.Cube.apply(x).sum()
    libgrad.backward(y)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        libgrad.backward(y)
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (packed.append(1), t.detach().numpy().copy())[1], torch.from_numpy
    ):
        y = ours.Cube.apply(x).sum()
    assert_same(libgrad.grad(y, x), libgrad.grad(theirs.Cube.apply(x).sum(), x))
    assert packed


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_recomputes_it(reentrant: bool) -> None:
    x = torch.rand(3, requires_grad=True)
    net = lambda f: lambda x: f.Cube.apply(f.Cube.apply(x) + x)
    run = lambda f: libgrad.grad(checkpoint(net(f), x, use_reentrant=reentrant).sum(), x)
    if reentrant:  # which needs backward, not grad
        run = lambda f: (
            setattr(x, "grad", None),
            libgrad.backward(checkpoint(net(f), x, use_reentrant=True).sum()),
            x.grad,
        )[2]
    assert_same(run(ours), run(theirs))


class Tagged(torch.Tensor):
    """A subclass, which survives what it goes through."""


def test_subclasses_of_tensor_go_in_and_come_out() -> None:
    def run(f):
        x = torch.ones(2).as_subclass(Tagged).requires_grad_()
        y = f.Cube.apply(x)
        returned = function(lambda ctx, x: x, base=f.Cube.__bases__[0]).apply(x)
        return [type(y), type(returned), type(libgrad.grad(y.sum(), x)[0])]

    assert run(ours) == run(theirs)


def test_in_place_of_torchs_class_an_existing_module_runs(monkeypatch) -> None:
    monkeypatch.setattr(torch.autograd, "Function", BASES["libgrad"])

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

    assert issubclass(Square, libgrad.Function)
    assert Square.apply(ones(2)).grad_fn.name() == "SquareBackward"

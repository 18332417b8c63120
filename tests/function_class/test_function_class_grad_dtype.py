"""ctx of libgrad.Function has what torch's newest has: dtypes and buffers of gradients."""

from __future__ import annotations

import pytest
import torch
from function_class.function_classes import function
from torch import Tensor
from torch.autograd.function import FunctionCtx

import libgrad

X = torch.ones(3, requires_grad=True)
BF16, F32, F64 = torch.bfloat16, torch.float32, torch.float64
can = {name: hasattr(FunctionCtx, name) for name in ("set_output_grad_dtype", "input_grad_buffers")}
BASES = [libgrad.Function] + [torch.autograd.Function] * can["set_output_grad_dtype"]
each_base = pytest.mark.parametrize("base", BASES, ids=lambda base: base.__module__)


def dtypes_in_backward(base: type, declared, outputs: int = 1, gradient=BF16) -> list:
    """The dtypes that backward gets, of a function to bfloat16 that declares those of gradients."""
    seen: list = []

    def forward(ctx, x):
        if declared is not None:
            ctx.set_output_grad_dtype(*declared)
            assert ctx.output_grad_dtypes == declared
        return tuple(x.to(BF16) * 1 for _ in range(outputs))

    def backward(ctx, *grads):
        seen.extend(grad.dtype for grad in grads)
        return grads[0].float()

    y = function(forward, backward, base=base).apply(X)
    assert y[0].grad_fn.output_grad_dtypes is None  # taken
    (g,) = torch.autograd.grad(y[0], X, torch.ones(3, dtype=gradient))
    assert g.tolist() == [1.0, 1.0, 1.0]
    return seen


@each_base
def test_backward_gets_each_gradient_in_the_declared_dtype(base: type) -> None:
    assert dtypes_in_backward(base, None) == [BF16]
    assert dtypes_in_backward(base, None, gradient=F32) == [BF16]
    assert dtypes_in_backward(base, (F32,)) == [F32]
    assert dtypes_in_backward(base, (F64,), gradient=F32) == [F64]
    assert dtypes_in_backward(base, (None,), gradient=F32) == [F32]
    assert dtypes_in_backward(base, (None,)) == [BF16]
    # Zeros that LibTorch makes for an unused output have the output's dtype.
    assert dtypes_in_backward(base, (F32, F64), outputs=2) == [F32, BF16]


@each_base
def test_setup_context_may_declare_and_other_outputs_take_none(base: type) -> None:
    seen: list = []
    members = {
        "forward": staticmethod(lambda x: (x.to(BF16), "word", x > 0)),
        "setup_context": staticmethod(
            lambda ctx, inputs, output: ctx.set_output_grad_dtype(F64, None, None)
        ),
        "backward": staticmethod(lambda ctx, g, _, __: (seen.append(g.dtype), g.float())[1]),
    }
    y = type("F", (base,), members).apply(X)
    torch.autograd.backward(y[0].sum(), inputs=torch.ones(3, requires_grad=True))
    torch.autograd.grad(type("F", (base,), members).apply(X)[0].sum(), X)
    assert seen == [F64]


WRONG = {
    "count": ((F32, F32), r"the Function returned 1 values but 2 declarations"),
    "no count": ((), r"the Function returned 1 values but 0 declarations"),
    "no dtype": ((3,), r"expects each declaration to be a torch.dtype or None, but got int"),
}


@each_base
@pytest.mark.parametrize("name", WRONG)
def test_wrong_declarations_are_refused(base: type, name: str) -> None:
    declared, error = WRONG[name]
    f = function(
        lambda ctx, x: (ctx.set_output_grad_dtype(*declared), x * 1)[1],
        lambda ctx, g: g,
        base=base,
    )
    for x in (X, X.detach()):
        with pytest.raises(RuntimeError, match=error):
            f.apply(x)


@each_base
def test_an_output_without_gradient_takes_no_dtype(base: type) -> None:
    def no_gradient(ctx, x):
        y = x * 1
        ctx.mark_non_differentiable(y)
        ctx.set_output_grad_dtype(F32)
        return y

    for forward in (
        no_gradient,
        lambda ctx, x: (ctx.set_output_grad_dtype(F32), 3)[1],
        lambda ctx, x: (ctx.set_output_grad_dtype(F32), x.int())[1],
    ):
        with pytest.raises(RuntimeError, match="that output is not a differentiable tensor"):
            function(forward, lambda ctx, g: g, base=base).apply(X)


@each_base
def test_declaring_twice_is_refused(base: type) -> None:
    def twice(ctx, x):
        ctx.set_output_grad_dtype(F32)
        ctx.set_output_grad_dtype(F32)

    with pytest.raises(RuntimeError, match="can only be called once"):
        function(twice, lambda ctx, g: g, base=base).apply(X)


def test_what_torch_does_not_notice_is_refused() -> None:
    f = function(lambda ctx, x: (ctx.set_output_grad_dtype(torch.int32), x * 1)[1])
    with pytest.raises(RuntimeError, match="no gradient has the dtype Int that was declared"):
        f.apply(X)

    def late(ctx, g):
        ctx.set_output_grad_dtype(F32)

    with pytest.raises(RuntimeError, match="must be called from forward or setup_context"):
        libgrad.backward(function(lambda ctx, x: x * 1, late).apply(X).sum())

    kept = []
    with pytest.raises(ZeroDivisionError):
        function(lambda ctx, x: (kept.append(ctx), 1 / 0)[1]).apply(X)
    with pytest.raises(RuntimeError, match="must be called from forward or setup_context"):
        kept[0].set_output_grad_dtype(F32)  # its call is over
    assert kept[0].output_grad_dtypes is None


@each_base
def test_a_write_to_a_view_keeps_the_dtype_of_the_view(base: type) -> None:
    seen = []

    def forward(ctx, x):
        ctx.set_output_grad_dtype(F64)
        ctx.mark_dirty(x)
        return x.mul_(2)

    f = function(forward, lambda ctx, g: (seen.append(g.dtype), g.float())[1], base=base)
    whole = X * 1
    f.apply(whole)
    base_of_view = X * 1
    f.apply(base_of_view[0:2])
    torch.autograd.grad(whole.sum() + base_of_view.sum(), X)
    assert sorted(map(str, seen)) == ["torch.float32", "torch.float64"]


def accumulates(base: type):
    """2 * x, whose backward adds to the engine's buffer where there is one."""
    seen = []

    def backward(ctx, grad):
        buffers = ctx.input_grad_buffers
        seen.append(buffers)
        if buffers[1] is None:
            return None, 2 * grad, None
        buffers[1].add_(grad, alpha=2)
        return None, None, None

    f = function(lambda ctx, word, x, none: x * 2, backward, base=base)
    return (lambda x: f.apply("word", x, None)), seen


with_buffers = pytest.mark.skipif(
    not can["input_grad_buffers"], reason="the engine of this torch does not hand out its buffers"
)


@with_buffers
@each_base
def test_backward_may_add_to_the_buffer_of_an_input(base: type) -> None:
    double, seen = accumulates(base)
    x = torch.ones(3, requires_grad=True)
    y = x * 1
    (double(y) + y * 3).sum().backward()  # y * 3 runs first
    assert x.grad.tolist() == [5.0, 5.0, 5.0]
    assert [b is None for b in seen[0]] == [True, False, True]
    first = y * 1
    torch.autograd.grad((first * 3 + double(first)).sum(), y)
    assert seen[1] == (None, None, None)  # it is the first


@with_buffers
@each_base
def test_buffers_are_refused_where_torch_refuses_them(base: type) -> None:
    double, _ = accumulates(base)
    y = X * 1
    with pytest.raises(RuntimeError, match="does not support create_graph=True"):
        torch.autograd.grad(double(y).sum(), y, create_graph=True)
    z = double(y)
    with pytest.raises(RuntimeError, match="can only be accessed while autograd is executing"):
        z.grad_fn.input_grad_buffers  # noqa: B018
    z.grad_fn.register_hook(lambda inputs, outputs: None)
    with pytest.raises(RuntimeError, match="does not support post-hooks"):
        z.sum().backward()


@pytest.mark.skipif(can["input_grad_buffers"], reason="this torch has them")
def test_an_engine_without_buffers_is_named() -> None:
    double, _ = accumulates(libgrad.Function)
    with pytest.raises(AttributeError, match=rf"the engine of torch {torch.__version__[:4]}"):
        double(X * 1).sum().backward()


def test_needs_input_grad_is_made_once_and_may_be_set() -> None:
    seen = []

    def forward(ctx, x: Tensor, word: str, y: Tensor) -> Tensor:
        seen.append(ctx.needs_input_grad)
        return x * y

    node = function(forward).apply(X, "word", X.detach()).grad_fn
    assert node.needs_input_grad == (True, False, False)
    assert node.needs_input_grad is seen[0]
    node.needs_input_grad = (False,)
    assert node.needs_input_grad == (False,)
    del node.needs_input_grad
    assert node.needs_input_grad == (True, False, False)

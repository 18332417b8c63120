"""What bindings/function_class/{node,class,calls}.h rely on: fails when torch changes it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from function_class.function_classes import function, ours

import libgrad

X = torch.ones(2, requires_grad=True)
F = torch.autograd.function


def torchs_apply() -> Callable[..., torch.Tensor]:
    """As torch_apply of class.h finds it: the function of a classmethod, or a method of C."""
    member = F.Function.__dict__["apply"]
    return getattr(member, "__func__", member)


def test_torchs_class_is_where_its_defaults_are_looked_for() -> None:
    assert F.Function.vjp is F.Function.backward
    assert F.Function.setup_context is F._SingleLevelFunction.setup_context
    assert torchs_apply() is not libgrad.Function.__dict__["apply"].__func__
    assert {"boxed_grads_call", "clear_saved_tensors_on_access"} <= set(dir(F.Function))


def test_the_metaclass_makes_the_class_of_ctx() -> None:
    f = function(lambda ctx, x: x * 1)
    theirs = f._backward_cls
    assert theirs.__name__ == "FBackward"
    assert theirs._forward_cls is f
    node = f.apply(X).grad_fn
    assert isinstance(node, theirs)
    assert type(node) is f._backward_cls
    assert isinstance(node, libgrad._C.FunctionContext)


def test_a_ctx_is_a_function_object_of_torch_whose_fields_start_as_torchs_do() -> None:
    fields = ["to_save", "non_differentiable", "dirty_tensors", "saved_for_forward"]
    fields += ["needs_input_grad", "_materialize_non_diff_grads", "saved_tensors"]
    seen = []

    def forward(ctx, x):
        seen.append([getattr(ctx, name) for name in fields])
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable()
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        seen.append([getattr(ctx, name) for name in fields])
        return x

    for base in (libgrad.Function, torch.autograd.Function):
        function(forward, base=base).apply(X * 1)
    for ours_, theirs in ((seen[0], seen[2]), (seen[1], seen[3])):
        assert str(ours_) == str(theirs)


def test_forward_runs_through_cpps_apply_and_its_checks() -> None:
    f = function(lambda ctx, x: (ctx.mark_dirty(x), x.mul_(2))[1])
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        f.apply(torch.ones(2, requires_grad=True))


def test_python_and_cpp_sides_of_a_node_live_and_die_together() -> None:
    y = ours.Cube.apply(X)
    node = y.grad_fn
    node.mark = [1]
    reference = weakref.ref(node)
    del node
    gc.collect()
    assert y.grad_fn.mark == [1]  # kept by the C++ graph alone
    z = y * 2
    del y
    assert z.grad_fn.next_functions[0][0] is reference()
    del z
    assert reference() is None


def test_torchs_own_apply_still_serves_a_class_of_ours() -> None:
    y = torchs_apply()(ours.Cube, X)
    assert y.grad_fn.saved_tensors[0] is X
    with pytest.warns(DeprecationWarning, match="saved_variables"):
        assert y.grad_fn.saved_variables[0] is X
    assert len(y.grad_fn._raw_saved_tensors) == 1
    assert libgrad.grad(y.sum(), X)[0].tolist() == [3.0, 3.0]

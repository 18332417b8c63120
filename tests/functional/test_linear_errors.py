"""libgrad.functional's linear operators: what is refused, and what is fallen back from."""

from __future__ import annotations

import builtins
import warnings

import pytest
import torch
from functional.test_linear import W, close
from torch.testing import assert_close

from libgrad import functional as ours


def test_writing_to_what_the_graph_saved_is_an_error_and_not_another_product():
    x = torch.randn(3)
    operator = ours.jacobian_operator(torch.sin, x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        operator @ torch.ones(3)


class Detached(torch.autograd.Function):
    """x², with a backward that autograd does not see."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return (grad.detach() * 2 * x).detach()


class Counting(Detached):
    """x², with a backward that asks for numbers, which no batch has."""

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * 2 * x * (1 if grad.sum().item() < 1e300 else 0)


@pytest.mark.parametrize("part", [0, 1], ids=["all of it", "a part"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_backward_that_is_no_graph_gives_an_error_and_no_zeros(part, dtype):
    x = torch.tensor([1.0, 2.0, 3.0], dtype=dtype)
    operator = ours.jacobian_operator(lambda t: Detached.apply(t) + part * t.sin(), x)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="jacobian_operator: Jv cannot be had"):
            operator @ torch.ones(3, dtype=dtype)
    assert_close(operator.T @ torch.ones(3, dtype=dtype), 2 * x + part * x.cos())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.softmax(1).sum(),
        lambda x: torch.nn.functional.layer_norm(x, (2,)).sum(),
        lambda x: torch.nn.functional.batch_norm(x, None, None, training=True).sum(0),
        lambda x: torch.nn.functional.normalize(x).pow(2).sum(),
    ],
    ids=["softmax", "layer_norm", "batch_norm", "normalize"],
)
def test_what_rounding_leaves_of_zeros_is_no_error(function, scale, dtype):
    x = torch.randn(6, 2, dtype=dtype) * scale
    product = ours.jacobian_operator(function, x) @ torch.ones(12, dtype=dtype)
    limit = 300 * torch.finfo(dtype).eps / min(scale, 1)
    assert product.abs().max() < limit


def test_columns_are_taken_one_by_one_where_a_backward_cannot_be_batched():
    x = torch.randn(3, dtype=torch.float64)
    operator = ours.jacobian_operator(Counting.apply, x)
    block = torch.randn(3, 2, dtype=x.dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        close(operator.T @ block, 2 * x[:, None] * block)
        close(operator @ block, 2 * x[:, None] * block)
    assert len(caught) == 1
    assert "engine is called for each column" in str(caught[0].message)


def test_exceptions_of_the_function_pass_through():
    def fail(x):
        raise KeyError("mine")

    for make in (ours.jacobian_operator, ours.hessian_operator):
        with pytest.raises(KeyError, match="mine"):
            make(fail, torch.ones(2))


@pytest.mark.parametrize(
    ("function", "inputs", "error", "says"),
    [
        (torch.sin, (torch.ones(2), torch.ones(2).double()), RuntimeError, "inputs.1. is float64"),
        (torch.Tensor.double, torch.ones(2), RuntimeError, "outputs.0. is float64"),
        (torch.sin, torch.ones(2).cfloat(), RuntimeError, "inputs.0. is complex"),
        (torch.view_as_complex, torch.ones(2), RuntimeError, "outputs.0. is complex"),
        (torch.sin, torch.eye(2).to_sparse(), RuntimeError, "inputs.0. is sparse"),
        (torch.sin, torch.arange(3), RuntimeError, "floating"),
        (torch.sin, (), ValueError, "inputs is empty"),
        (torch.sin, 3, TypeError, "must be either a Tensor or a tuple"),
        (lambda x: 3, torch.ones(2), TypeError, "outputs of the user-provided function"),
    ],
)
def test_what_has_no_operator_is_refused(function, inputs, error, says):
    with pytest.raises(error, match=says):
        ours.jacobian_operator(function, inputs)


def test_a_hessian_wants_one_number():
    with pytest.raises(RuntimeError, match="should contain a single element"):
        ours.hessian_operator(torch.sin, torch.ones(2))
    with pytest.raises(RuntimeError, match="should return a single Tensor"):
        ours.hessian_operator(lambda x: (x.sum(),), torch.ones(2))


@pytest.mark.parametrize(
    ("v", "error", "says"),
    [
        (torch.ones(4), RuntimeError, r"shape \(5, 3\) multiplies vectors of shape \(3,\)"),
        (torch.ones(4, 3), RuntimeError, r"columns of shape \(3, k\), but was given float32 "),
        (torch.ones(()), RuntimeError, "multiplies vectors of shape"),
        (torch.ones(3).double(), RuntimeError, "operator is float32 on cpu, but the vector is fl"),
        (torch.ones(3, dtype=torch.long), RuntimeError, "the vector is int64"),
        ((torch.ones(2),), RuntimeError, "v has invalid size"),
        ((torch.ones(3),) * 2, RuntimeError, "should contain a single Tensor"),
        ([1.0, 2.0, 3.0], TypeError, "must be either a Tensor or a tuple"),
        (None, TypeError, "must be either a Tensor or a tuple"),
    ],
)
def test_wrong_vector_is_an_error(v, error, says):
    operator = ours.jacobian_operator(lambda x: W.float() @ x, torch.ones(3))
    with pytest.raises(error, match=says):
        operator @ v


def test_matvec_takes_vectors_and_matmat_columns():
    operator = ours.jacobian_operator(torch.sin, torch.ones(3))
    with pytest.raises(ValueError, match="matvec: expected a tensor of 1 dimension, but"):
        operator.matvec(torch.ones(3, 1))
    with pytest.raises(ValueError, match="matmat: expected a tensor of 2 dimensions, but"):
        operator.matmat(torch.ones(3))


def test_transforms_and_inference_mode_are_refused():
    operator = ours.jacobian_operator(torch.sin, torch.ones(3))
    with pytest.raises(RuntimeError, match=r"inside a transform of torch.func"):
        torch.func.vmap(lambda v: operator @ v)(torch.ones(2, 3))
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        ours.jacobian_operator(torch.sin, torch.ones(3))


def test_scipy_is_needed_for_its_operators_alone(monkeypatch):
    operator = ours.jacobian_operator(torch.sin, torch.ones(3, dtype=torch.bfloat16))
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        with pytest.raises(ImportError, match="SciPy is not installed; run: python -m pip"):
            operator.to_scipy()
    pytest.importorskip("scipy")
    with pytest.raises(TypeError, match="no bfloat16"):
        operator.to_scipy()


def test_products_of_meta_tensors_have_a_shape_and_no_numbers():
    operator = ours.jacobian_operator(lambda t: t.exp()[:2], torch.ones(3, device="meta"))
    assert (operator @ torch.ones(3, device="meta")).shape == (2,)
    assert (operator.T @ torch.ones(2, device="meta")).shape == (3,)

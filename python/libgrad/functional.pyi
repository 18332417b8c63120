"""Derivatives of functions: products, matrices, operators, by csrc/libgrad/functional.h."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor
from torch.distributed import ProcessGroup

from ._functional.linear import LinearOperator, hessian_operator, jacobian_operator

__all__ = [
    "LinearOperator",
    "hessian",
    "hessian_operator",
    "hvp",
    "jacobian",
    "jacobian_operator",
    "jvp",
    "value_and_grad",
    "vhp",
    "vjp",
]

_T = TypeVar("_T")
_F = Callable[..., Any]

def vjp(
    func: _F, inputs: _T, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, _T]:
    """Return the outputs of `func` and vᵀJ, its Jacobian multiplied by a vector from the left.

    Costs one forward and one backward. For complex numbers the product is with the conjugate of J,
    as everywhere in PyTorch. As torch.autograd.functional.vjp; no ``.grad`` is touched.

    >>> x = torch.tensor([1.0, 2.0])
    >>> libgrad.functional.vjp(lambda x: x * x, x, torch.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))

    Args:
        func: A function of tensors that returns a tensor or a tuple of them (or a nest).
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        v: A vector for each output, of its shape, dtype and device, grouped like the outputs. None
            stands for a one where there is a single output with one element.
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where the outputs do not depend on an
            input.

    Returns:
        The outputs as `func` groups them, and a product for each input, of its shape, dtype and
        device, grouped like the inputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs, the outputs or in v.
        RuntimeError: A `v` of the wrong length or shape, or missing; an input that is not
            floating-point or complex; a result that is independent of an input under `strict`; a
            call inside a torch.func transform or inference_mode.
        ValueError: No inputs, or a `v` that is nested in another way.
    """

def jvp(
    func: _F, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the outputs of `func` and Jv, its Jacobian multiplied by a vector from the right.

    Costs one forward and two backwards (for the derivative of Jᵀu with respect to u), which in a
    Python process is faster than forward mode. As torch.autograd.functional.jvp; no ``.grad`` is
    touched.

    >>> x = torch.tensor([1.0, 2.0])
    >>> libgrad.functional.jvp(lambda x: x * x, x, torch.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))

    Args:
        func: A function of tensors that returns a tensor or a tuple of them (or a nest).
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        v: A vector for each input, of its shape, dtype and device. None stands for a one where
            there is a single input with one element.
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where an output does not depend on the
            inputs.

    Returns:
        The outputs as `func` groups them, and a product for each output, of its shape, dtype and
        device, grouped like the outputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs, the outputs or in v.
        RuntimeError: A `v` of the wrong length or shape, or missing; an input that is not
            floating-point or complex; a result that is independent of an input under `strict`; a
            call inside a torch.func transform or inference_mode.
        ValueError: No inputs, or a `v` that is nested in another way.
    """

def vhp(
    func: _F, inputs: _T, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, _T]:
    """Return the one-element value of `func`, and vᵀH: a vector times its Hessian.

    Costs one forward and two backwards. As torch.autograd.functional.vhp; no ``.grad`` is touched.

    >>> x = torch.tensor([1.0, 2.0])
    >>> libgrad.functional.vhp(lambda x: (x**3).sum(), x, torch.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))

    Args:
        func: A function of tensors that returns one tensor with one element.
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        v: A vector for each input, of its shape, dtype and device. None stands for a one where
            there is a single input with one element.
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where the value or the gradient does not
            depend on an input.

    Returns:
        The value, and a product for each input, of its shape, dtype and device, grouped like the
        inputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs, the outputs or in v.
        RuntimeError: A value of more than one element; a `v` of the wrong shape, or missing; an
            input that is not floating-point or complex; a result that is independent of an input
            under `strict`; a call inside a torch.func transform or inference_mode.
        ValueError: No inputs, or a `v` that is nested in another way.
    """

def hvp(
    func: _F, inputs: _T, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, _T]:
    """Return the one-element value of `func`, and Hv: its Hessian times a vector.

    For real inputs and without `strict`, Hv is computed as vᵀH, since continuous second derivatives
    are symmetric: this costs one forward and two backwards. Otherwise Hv costs one more backward.
    As torch.autograd.functional.hvp; no ``.grad`` is touched.

    >>> x = torch.tensor([1.0, 2.0])
    >>> libgrad.functional.hvp(lambda x: (x**3).sum(), x, torch.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))

    Args:
        func: A function of tensors that returns one tensor with one element.
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        v: A vector for each input, of its shape, dtype and device. None stands for a one where
            there is a single input with one element.
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where the value or the gradient does not
            depend on an input.

    Returns:
        The value, and a product for each input, of its shape, dtype and device, grouped like the
        inputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs, the outputs or in v.
        RuntimeError: A value of more than one element; a `v` of the wrong shape, or missing; an
            input that is not floating-point or complex; a result that is independent of an input
            under `strict`; a call inside a torch.func transform or inference_mode.
        ValueError: No inputs, or a `v` that is nested in another way.
    """

def value_and_grad(
    func: _F, inputs: _T, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, _T]:
    """Return the one-element value of `func`, and its gradients.

    Costs one forward and one backward; ``.grad`` stays as it is. As torch.func.grad_and_value with
    the pair in the other order, and with inputs as the other functions take them.

    >>> params = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor(0.5)}
    >>> libgrad.functional.value_and_grad(lambda p: (p["w"] ** 2).sum() + p["b"], params)
    (tensor(5.5000), {'w': tensor([2., 4.]), 'b': tensor(1.)})

    Args:
        func: A function of tensors that returns one tensor with one element.
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where the value does not depend on an
            input.

    Returns:
        The value, and a gradient for each input, of its shape, dtype and device, grouped like the
        inputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs or the outputs.
        RuntimeError: A value of more than one element; an input that is not floating-point or
            complex; a value that is independent of an input under `strict`; a call inside a
            torch.func transform or inference_mode.
        ValueError: No inputs.
    """

def jacobian(
    func: _F,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
    *,
    chunk_size: int | None = None,
    check: bool = False,
    group: ProcessGroup | None = None,
) -> Any:
    """Return the Jacobian of `func`: the derivatives of all outputs with respect to all inputs.

    `func` is called once. Then one backward computes a batch of rows, by the batching rules of
    torch.func. A tall Jacobian (eight times more outputs than inputs) is computed by columns, by
    differentiating twice. Where an operator or a custom backward cannot be batched, a warning says
    so, once, and the rows are computed one by one. As torch.autograd.functional.jacobian.

    >>> x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    >>> libgrad.functional.jacobian(lambda x, y: x * y, (x, y))
    (tensor([[3., 0.],
            [0., 4.]]), tensor([[1., 0.],
            [0., 2.]]))
    >>> libgrad.functional.jacobian(lambda p: p["w"].sum() * 2, {"w": x})
    {'w': tensor([2., 2.])}

    Args:
        func: A function of tensors that returns a tensor or a tuple of them (or a nest).
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where an output does not depend on an
            input. Rows are then computed one by one.
        vectorize: True for batches, False for one backward a row; libgrad's choice by default.
        strategy: ``"reverse-mode"``, by rows; ``"forward-mode"``, by dual tensors, many columns at
            once; ``"double-reverse"``, libgrad's own for tall Jacobians. By default libgrad
            chooses.
        chunk_size: The number of rows (or columns) in a batch; None chooses it by their bytes.
        check: Compare uᵀJ of a random u with one backward, and raise RuntimeError where they
            differ: this finds wrong batching rules of operators for the price of a vjp.
        group: A process group of torch.distributed; computes rows only. Each rank of the group
            makes the same call, computes its share of the rows, and returns the whole matrix.

    Returns:
        For each output, grouped as `func` groups them, and for each input, grouped like the inputs,
        a tensor. Its shape is the output's followed by the input's; its dtype and device are those
        of the input (by columns: of the output).

    Raises:
        TypeError: Something that is not a tensor among the inputs or the outputs.
        ValueError: No inputs, a `chunk_size` below 1, or a `group` that this process is not in.
        RuntimeError: An input that is not floating-point or complex; `strict` together with
            batches, or violated; a failed `check`; a call inside a torch.func transform or
            inference_mode.
        NotImplementedError: ``"forward-mode"`` with `create_graph` or ``vectorize=False``; `group`
            with `create_graph` or columns.
        AssertionError: Another `strategy`.
    """

def hessian(
    func: _F,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
    *,
    chunk_size: int | None = None,
    check: bool = False,
    group: ProcessGroup | None = None,
) -> Any:
    """Return the Hessian of `func`, which returns one element: its second derivatives.

    `func` is called once. Then one backward computes the gradient, and another one each batch of
    rows. As torch.autograd.functional.hessian.

    >>> x = torch.tensor([1.0, 2.0])
    >>> libgrad.functional.hessian(lambda x: (x**3).sum(), x)
    tensor([[ 6.,  0.],
            [ 0., 12.]])

    Args:
        func: A function of tensors that returns one tensor with one element.
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).
        create_graph: Record a graph of the results, so that they can be differentiated.
        strict: Raise an error, instead of giving zeros, where the gradient does not depend on an
            input. Rows are then computed one by one.
        vectorize: True for batches, False for one backward a row; libgrad's choice by default.
        outer_jacobian_strategy: ``"reverse-mode"``, by rows, or ``"forward-mode"``, one backward
            through dual tensors for many columns. By default libgrad chooses.
        chunk_size: The number of rows (or columns) in a batch; None chooses it by their bytes.
        check: Compare uᵀH of a random u with one backward, and raise RuntimeError where they
            differ: this finds wrong batching rules of operators for the price of a vjp.
        group: A process group of torch.distributed; computes rows only. Each rank of the group
            makes the same call, computes its share of the rows, and returns the whole matrix.

    Returns:
        For each pair of inputs, grouped like the inputs twice over, a tensor. Its shape is that of
        the first input followed by that of the second; its dtype and device are those of the
        second.

    Raises:
        TypeError: Something that is not a tensor among the inputs or the outputs.
        ValueError: No inputs, a `chunk_size` below 1, or a `group` that this process is not in.
        RuntimeError: A value of more than one element; an input that is not floating-point or
            complex; `strict` together with batches, or violated; a failed `check`; a call inside a
            torch.func transform or inference_mode.
        NotImplementedError: ``"forward-mode"`` with `create_graph` or ``vectorize=False``; `group`
            with `create_graph` or columns.
        AssertionError: Another `outer_jacobian_strategy`.
    """

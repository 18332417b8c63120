"""Jacobians and Hessians as linear operators, by csrc/libgrad/linear.h."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .._C import functional as _functional
from .._results import immutable, refuse_pickle

if TYPE_CHECKING:
    import numpy

__all__ = ["LinearOperator", "hessian_operator", "jacobian_operator"]


@immutable
class LinearOperator:
    """A Jacobian or Hessian that multiplies vectors and is never built as a matrix.

    `jacobian_operator` and `hessian_operator` make it. A vector is flat: it holds the entries of
    all inputs (or outputs) one after another, in the order of
    ``torch.nn.utils.parameters_to_vector``. Products run the engine on the graph of one call of the
    function, which the operator keeps alive together with its saved tensors; after an in-place
    change of a saved tensor the next product raises. Products have no graph of their own. Several
    threads may use one operator.

    >>> x = torch.tensor([1.0, 2.0])
    >>> hessian = libgrad.functional.hessian_operator(lambda x: (x**3).sum(), x)
    >>> hessian
    LinearOperator(shape=(2, 2), dtype=torch.float32, device='cpu')
    >>> hessian @ torch.tensor([1.0, 10.0])
    tensor([  6., 120.])
    """

    __slots__ = ("__weakref__", "_bound")

    def __init__(self, bound: Any) -> None:
        self._bound = bound

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows (elements of the outputs) and columns (of the inputs)."""
        shape: tuple[int, int] = self._bound.shape
        return shape

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of all inputs and outputs, and so of the vectors."""
        dtype: torch.dtype = self._bound.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """The device of all inputs and outputs, and so of the vectors."""
        device: torch.device = self._bound.device
        return device

    @property
    def T(self) -> LinearOperator:
        """The transposed operator, on the same graph; a Hessian is its own transpose."""
        return self if self._bound.is_symmetric else LinearOperator(self._bound.transpose())

    def __matmul__(self, other: Any) -> Any:
        """Return the product with a vector (n,), the columns of (n, k), or a nest.

        A nest is grouped like the function's inputs, with a tensor of the shape of each; the
        product is then grouped like the outputs.
        """
        if isinstance(other, torch.Tensor):
            return self._bound.matmul(other)
        return self._bound.apply(other)

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """Return the product with a vector of shape (n,), by one backward."""
        _check_dim("matvec", v, 1)
        product: torch.Tensor = self._bound.matmul(v)
        return product

    def rmatvec(self, u: torch.Tensor) -> torch.Tensor:
        """Return the product of the transposed operator with a vector of shape (m,)."""
        return self.T.matvec(u)

    def matmat(self, columns: torch.Tensor) -> torch.Tensor:
        """Return the product with each column of a tensor of shape (n, k), in batches."""
        _check_dim("matmat", columns, 2)
        product: torch.Tensor = self._bound.matmul(columns)
        return product

    def to_scipy(self) -> Any:
        """Return this as a ``scipy.sparse.linalg.LinearOperator``, for SciPy's solvers.

        It takes and returns NumPy arrays; for an operator on another device they are copied there
        and back. Raises ImportError without SciPy, and TypeError for a dtype that NumPy lacks.

        >>> x = torch.tensor([1.0, 2.0, 3.0])
        >>> hessian = libgrad.functional.hessian_operator(lambda x: (x**3).sum(), x)
        >>> from scipy.sparse.linalg import eigsh  # doctest: +SKIP
        >>> eigsh(hessian.to_scipy(), k=1)[0]  # doctest: +SKIP
        array([18.], dtype=float32)
        """
        try:
            from scipy.sparse.linalg import LinearOperator as ScipyOperator
        except ImportError as error:
            raise ImportError(
                "to_scipy: SciPy is not installed; run: python -m pip install scipy"
            ) from error
        if self.dtype == torch.bfloat16:
            raise TypeError("to_scipy: NumPy has no bfloat16; compute in float32 or float64")
        forward, backward = self._on_arrays, self.T._on_arrays
        return ScipyOperator(
            self.shape,
            matvec=forward,
            rmatvec=backward,
            matmat=forward,
            rmatmat=backward,
            dtype=torch.empty(0, dtype=self.dtype).numpy().dtype,
        )

    def _on_arrays(self, array: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
        if array.dtype.kind == "c":
            raise TypeError("to_scipy: the operator is real, but was given a complex vector")
        copy = torch.tensor(array.copy(), dtype=self.dtype, device=self.device)
        product: torch.Tensor = self._bound.matmul(copy)
        result: numpy.ndarray[Any, Any] = product.cpu().numpy()
        return result

    def __repr__(self) -> str:
        return f"LinearOperator(shape={self.shape}, dtype={self.dtype}, device='{self.device}')"


refuse_pickle(
    LinearOperator,
    "the graph behind it",
    "keep the matrix, by libgrad.functional.jacobian or hessian",
)


def _check_dim(method: str, tensor: torch.Tensor, dim: int) -> None:
    if tensor.dim() != dim:
        raise ValueError(
            f"{method}: expected a tensor of {dim} dimension{'s'[: dim - 1]}, but its shape is "
            f"{tuple(tensor.shape)}; use @ for either"
        )


def jacobian_operator(func: Callable[..., Any], inputs: Any) -> LinearOperator:
    """Return the Jacobian of `func` at `inputs` as a linear operator, without building a matrix.

    `func` is called once. Jᵀu (``J.T @ u``) costs one backward, and so does Jv (``J @ v``), the
    derivative of Jᵀu with respect to u. The first Jv costs two more backwards, which record and
    check the graph of Jᵀu.

    >>> x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    >>> J = libgrad.functional.jacobian_operator(lambda x, y: x * y, (x, y))
    >>> J @ torch.tensor([1.0, 0.0, 0.0, 1.0])
    tensor([3., 2.])
    >>> J.T @ torch.tensor([1.0, 10.0])
    tensor([ 3., 40.,  1., 20.])
    >>> J @ (torch.ones(2), torch.ones(2))
    tensor([4., 6.])

    Args:
        func: A function of tensors that returns a tensor or a tuple of them (or a nest).
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).

    Returns:
        A `LinearOperator` with a row for each element of the outputs and a column for each element
        of the inputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs or the outputs.
        ValueError: No inputs.
        RuntimeError: Inputs and outputs of more than one dtype or device, or complex or sparse; a
            call inside a torch.func transform or inference_mode. At the first Jv: a backward that
            cannot be differentiated.
    """
    return LinearOperator(_functional._jacobian_operator(func, inputs))


def hessian_operator(func: Callable[..., Any], inputs: Any) -> LinearOperator:
    """Return the Hessian of `func`, which returns one element, as a linear operator.

    `func` is called once and its gradient is computed once, with its graph; each product costs one
    backward through both. The operator counts as its own transpose, as continuous second
    derivatives are symmetric.

    >>> params = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}
    >>> H = libgrad.functional.hessian_operator(lambda p: (p["w"] ** 2).sum() * p["b"], params)
    >>> H @ torch.tensor([1.0, 0.0, 0.0])
    tensor([6., 0., 2.])
    >>> H @ {"w": torch.tensor([1.0, 0.0]), "b": torch.tensor(0.0)}
    {'w': tensor([6., 0.]), 'b': tensor(2.)}

    Args:
        func: A function of tensors that returns one tensor with one element.
        inputs: A tensor, for func(tensor); a tuple of them, for func(*tuple); or tensors in a
            nest of dicts, lists and tuples, for func(nest).

    Returns:
        A `LinearOperator` with a row and a column for each element of the inputs.

    Raises:
        TypeError: Something that is not a tensor among the inputs or the outputs.
        ValueError: No inputs.
        RuntimeError: A value of more than one element; inputs of more than one dtype or device, or
            complex or sparse; a call inside a torch.func transform or inference_mode.
    """
    return LinearOperator(_functional._hessian_operator(func, inputs))


for _public in (LinearOperator, hessian_operator, jacobian_operator):
    _public.__module__ = "libgrad.functional"
del _public

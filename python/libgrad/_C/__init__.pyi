"""The extension: bindings of csrc/libgrad, by csrc/bindings."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar, overload

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from .findings import *  # noqa: F403
from .graph import *  # noqa: F403
from .graph import Graph as Graph
from .hooks import *  # noqa: F403
from .parts import *  # noqa: F403
from .questions import *  # noqa: F403  # these classes are in the extension, too

__version__: str
pybind11_version: str
functional: ModuleType  # see functional.pyi

_K = TypeVar("_K")
_Operands = Tensor | GradientEdge | Sequence[Tensor] | Sequence[GradientEdge]
_Seeds = Tensor | Sequence[Tensor | None]

@overload
def grad(
    outputs: _Operands,
    inputs: dict[_K, Tensor],
    grad_outputs: _Seeds | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> dict[_K, Tensor]:
    """Return the gradients of `outputs` with respect to `inputs`; ``.grad`` stays as it is.

    For each input the gradient is the sum of vᵀJ over the outputs, with the input's shape, dtype
    and device. The function is torch.autograd.grad: it runs LibTorch's engine as
    ``torch::autograd::grad`` does.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> libgrad.grad((x * x).sum(), x)
    (tensor([2., 4.]),)
    >>> libgrad.grad(x * x, {"x": x}, grad_outputs=torch.tensor([1.0, 10.0]))
    {'x': tensor([ 2., 40.])}

    Args:
        outputs: A tensor or a ``torch.autograd.graph.GradientEdge``, or a sequence of them.
        inputs: The same, or a dict of tensors; then the result is a dict with its keys.
        grad_outputs: The vectors v: for each output a tensor of its shape, dtype and device.
            None, alone or in the sequence, stands for a one where an output has one element.
        retain_graph: Keep the graph's saved tensors, so that it can be differentiated again.
            None means the value of `create_graph`.
        create_graph: Record a graph of the gradients, so that they can be differentiated.
        only_inputs: Deprecated and ignored, as in torch.
        allow_unused: Give None for inputs that the outputs do not depend on, instead of an
            error. None means the value of `materialize_grads`.
        is_grads_batched: The first dimension of each of `grad_outputs` is a batch of vectors.
            The results have that dimension in front (but not the zeros of unused inputs).
        materialize_grads: Give zeros, instead of None, for unused inputs.

    Returns:
        A tuple with a tensor (or None) for each input, or a dict.

    Raises:
        RuntimeError: No graph behind an output, an input that does not require grad or is not
            used, a vector of the wrong shape or device, a graph that was freed.
        TypeError: An argument is not a tensor where a tensor is required.
        ValueError: Options that contradict each other.
    """

@overload
def grad(
    outputs: _Operands,
    inputs: _Operands,
    grad_outputs: _Seeds | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]: ...
def backward(
    tensors: _Operands,
    grad_tensors: _Seeds | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: _Seeds | None = None,
    inputs: _Operands | dict[Any, Tensor] | None = None,
) -> None:
    """Add the gradients of `tensors` to ``.grad`` of the graph's leaves.

    Gradients accumulate: a second call adds to the first, and zeroing ``.grad`` is up to the
    caller. The function is torch.autograd.backward, run by ``torch::autograd::backward``.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> libgrad.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    >>> libgrad.backward((x * x).sum())
    >>> x.grad
    tensor([4., 8.])

    Args:
        tensors: A tensor or a ``torch.autograd.graph.GradientEdge``, or a sequence of them.
        grad_tensors: The vectors to start from: for each of `tensors` a vector of its shape,
            dtype and device. None, alone or in the sequence, stands for a one where a tensor has
            one element.
        retain_graph: Keep the graph's saved tensors, so that it can be differentiated again.
            None means the value of `create_graph`.
        create_graph: Record a graph of the gradients. ``.grad`` then keeps the graph alive, and
            the graph keeps the leaf alive: set ``.grad`` to None when done, or use `grad`.
        grad_variables: Deprecated name of `grad_tensors`, as in torch.
        inputs: Accumulate into these alone: a tensor (leaf or not), a GradientEdge, a sequence
            or a dict of them. None means every leaf of the graph.

    Raises:
        RuntimeError: As `grad`; also inside a torch.func transform. ``.grad`` is untouched unless
            the engine had already started.
        TypeError: An argument is not a tensor where a tensor is required.
    """

def takes_gradcheck(inputs: Any) -> bool: ...
def gradcheck(func: Any, inputs: Any, options: dict[str, Any]) -> bool | dict[str, Any]: ...
def gradgradcheck(
    func: Any, inputs: Any, grad_outputs: Any, options: dict[str, Any]
) -> bool | dict[str, Any]: ...
def docstring(name: str) -> str:
    """Return the stub's docstring of a name such as "Graph.holders"."""

_grad: Callable[..., Any]
_backward: Callable[..., None]

class _Guard:
    def __init__(self, arg0: bool) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class GradMode(_Guard): ...
class InferenceMode(_Guard): ...
class DetectAnomaly(_Guard): ...

def set_grad_enabled(enabled: bool) -> None:
    """Call at::GradMode::set_enabled for this thread."""

def is_torch_function_mode_enabled() -> bool:
    """Return True while a TorchFunctionMode intercepts calls of torch."""

def is_grad_enabled() -> bool:
    """Return True when this thread records operations for differentiation."""

def is_inference_mode_enabled() -> bool:
    """Return True when this thread is in inference mode."""

class InputMetadata:
    """Shape, dtype and device of a gradient that a node takes."""

    @property
    def shape(self) -> torch.Size:
        """The sizes of the gradient."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the gradient."""

    @property
    def device(self) -> torch.device:
        """The device of the gradient."""

class Node:
    """A node of the graph; see `libgrad.node`."""

    @property
    def name(self) -> str:
        """The name of the node: 'MulBackward0', 'AccumulateGrad', ..."""

    @property
    def next(self) -> tuple[tuple[Node | None, int], ...]:
        """The node that takes the gradient of each input of the forward operation.

        Pairs of that node and the index among its inputs; (None, 0) where there is no gradient.
        """

    @property
    def sequence_nr(self) -> int:
        """The number of the node among those of its thread, in the order of creation.

        Backward runs higher numbers first.
        """

    @property
    def inputs(self) -> tuple[InputMetadata | None, ...]:
        """The InputMetadata of each gradient that the node takes, or None."""

    @property
    def variable(self) -> Tensor | None:
        """The leaf that an AccumulateGrad node adds to; None for other nodes."""

    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

def graph(roots: tuple[object, ...], params: Sequence[tuple[str, Tensor]]) -> Graph: ...
def node(tensor: Tensor) -> Node: ...
def to_text(tensor: Tensor, params: dict[str, Tensor], max_depth: int) -> str: ...
def _inline_types(address: int) -> list[str]: ...
def _bind_inline(
    module: ModuleType,
    name: str,
    doc: str,
    address: int,
    parameters: Sequence[tuple[Any, ...]],
) -> None: ...

class _demo:
    @staticmethod
    def swish(x: Tensor, beta: float = 1.0) -> Tensor: ...
    @staticmethod
    def square(x: Tensor) -> Tensor: ...
    @staticmethod
    def time_square(x: Tensor, seed: Tensor | None, rounds: int) -> float: ...
    @staticmethod
    def time_grad(outputs: Sequence[Tensor], inputs: Sequence[Tensor], rounds: int) -> float: ...
    @staticmethod
    def time_backward(tensors: Sequence[Tensor], rounds: int) -> float: ...

class Leftover:
    """The contents of a context after forward."""

    saved: list[tuple[int, int]]
    non_differentiable: list[int]
    dirty: list[int]
    input_of_output: list[int]
    materialize: bool

class Call:
    """A Function and the arguments of one call."""

    name: str
    mutated: list[int]
    tensors: tuple[Tensor, ...]
    has_jvp: bool
    has_vmap: bool
    def __init__(self, function: object, mutated: Sequence[int], values: object) -> None: ...
    def apply(self) -> Any: ...
    def apply_as_operator(self) -> Any: ...
    def result(self, outputs: Sequence[Tensor]) -> Any: ...
    def forward(
        self, tensors: Sequence[Tensor]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Leftover]: ...
    def backward(
        self,
        left: Leftover,
        saved: Sequence[Tensor | None],
        grads: Sequence[Tensor | None],
        needs: Sequence[bool],
    ) -> tuple[Tensor | None, ...]: ...
    def jvp(
        self,
        left: Leftover,
        saved: Sequence[Tensor | None],
        tangents: Sequence[Tensor | None],
        outputs: int,
    ) -> tuple[Tensor | None, ...]: ...
    def vmap(
        self,
        in_dims: Sequence[int | None],
        tensors: Sequence[Tensor],
        batch_size: int,
        randomness: str,
    ) -> tuple[tuple[Tensor, ...], list[int | None]]: ...

CANNOT_PUSH: str

def probe(output: Tensor) -> Tensor: ...
def depends_on(tensor: Tensor, sources: Sequence[Tensor]) -> bool: ...
def mismatch(
    gradients: Sequence[Tensor],
    tangents: Sequence[Tensor],
    vectors: Sequence[Tensor],
    columns: Sequence[Tensor],
) -> Tensor | None: ...
def is_single(function: object) -> bool: ...
def schema_types(function: object) -> list[str]: ...
def register_node_class(function: object) -> type: ...
def define_operator(
    function: object,
    mutated: Sequence[int],
    space: str,
    name: str,
    schema: str,
    transformed: Callable[[Call], Sequence[Tensor]],
) -> None: ...
def kernel_types(kernel: object) -> tuple[list[str], bool]: ...
def define_kernel(kernel: object, space: str, name: str, schema: str) -> None: ...

class FunctionContext:
    """The ctx of a node: what forward passes to backward."""

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors that save_for_backward saved."""

    @property
    def saved_variables(self) -> tuple[Tensor | None, ...]: ...
    @property
    def _raw_saved_tensors(self) -> tuple[Any, ...]: ...
    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Save tensors for backward, where they are ctx.saved_tensors."""

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Save tensors for jvp, where they are ctx.saved_tensors."""

    def mark_dirty(self, *args: Tensor) -> None:
        """Declare the inputs that forward has changed in place."""

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Declare the outputs that have no gradient."""

    def set_materialize_grads(self, value: bool, /) -> None:
        """Choose zeros (True, the default) or None for missing gradients."""

def _apply(cls: type, *args: Any, **kwargs: Any) -> Any: ...

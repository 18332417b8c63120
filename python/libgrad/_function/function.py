"""Custom derivatives that are written in Python and run by LibTorch's C++ Function<>."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

import torch

from .. import _C
from .._compat import FUNCTION_NEEDS

__all__ = ["Function"]

_lock = threading.Lock()


class Function(torch.autograd.Function):
    """An operation with a custom derivative: torch.autograd.Function, on a C++ node.

    Subclass it with static methods and call ``apply``. Tensors that `forward` saves on ``ctx`` are
    held by the ``AutogradContext`` of a real ``torch::autograd::Function<>``, which LibTorch's
    engine runs; ``y.grad_fn`` is that ``ctx``, named after the class.

    >>> class Cube(libgrad.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x)
    tensor(8., grad_fn=<CubeBackward>)
    >>> libgrad.grad(Cube.apply(x), x)
    (tensor(12.),)

    `forward`, `setup_context`, `backward` (or `vjp`), `jvp`, `vmap`, ``generate_vmap_rule``,
    ``clear_saved_tensors_on_access`` and every member of ``ctx`` are torch's: to use this class, an
    existing class only changes its base. It is a subclass of ``torch.autograd.Function``, so that
    torch.compile, torch.func and others accept it.

    Raises:
        RuntimeError: A wrong number of gradients; a gradient for an argument that is no tensor; a
            marked object that is no tensor, or neither an input nor an output; saved tensors that
            were freed.
        TypeError: A saved object that is not a tensor; arguments that `forward` does not take.
        NotImplementedError: A method that is needed and was not written.
    """

    if TYPE_CHECKING:

        @classmethod
        def apply(cls, *args: Any, **kwargs: Any) -> Any:
            """Run `forward` on the arguments and record the node that will run `backward`."""

    elif hasattr(_C, "_apply"):
        apply = classmethod(_C._apply)
    else:

        @classmethod
        def apply(cls, *args, **kwargs):
            """Refuse: in an older torch a node cannot own its ctx."""
            raise RuntimeError(
                f"{cls.__name__}.apply: libgrad.Function needs torch {FUNCTION_NEEDS} or newer, "
                f"but libgrad was built for torch {torch.__version__}; use torch.autograd.Function"
            )


def _context_class(cls: Any) -> type:
    """Make the class of ctx for `cls`: torch's, but with its tensors in the C++ context."""
    with _lock:  # all threads get the same class
        theirs: type[Any] = cls._backward_cls
        if issubclass(theirs, _C.FunctionContext):
            return theirs
        members = {
            "__module__": theirs.__module__,
            "_forward_cls": cls,
            "_autograd_function_id": theirs._autograd_function_id,
        }
        cls._backward_cls = ours = type(theirs.__name__, (_C.FunctionContext, theirs), members)
        return ours


def _bind(cls: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Return the arguments of `apply` in the order of forward's parameters."""
    signature = inspect.signature(cls.forward)
    if cls.setup_context is Function.setup_context:  # forward(ctx, ...), which fills in defaults
        bound = signature.bind(None, *args, **kwargs)
        positional = bound.args[1:]
    else:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        positional = bound.args
    if bound.kwargs:
        raise TypeError(
            f"{cls.__name__}.apply() hands its arguments on by position, but forward() takes "
            f"{', '.join(bound.kwargs)} by keyword only"
        )
    return positional

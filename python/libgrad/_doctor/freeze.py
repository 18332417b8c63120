"""`freeze`: a tensor that no operator may write to."""

from __future__ import annotations

import threading
import weakref
from types import TracebackType

from torch import Tensor

from .. import _C
from .._graph.record import set_libraries
from .._results import refuse_pickle

__all__ = ["Frozen", "freeze"]


class _Hold:
    """The memory that is frozen, until it is thawed."""

    def __init__(self, tensor: Tensor) -> None:
        set_libraries()
        self.memory = _C.freeze(tensor)
        self.thread = threading.get_ident()
        self.spy = _C.SpyScope()
        self.spy.__enter__()
        self.frozen = True

    def thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self.memory.thaw()
            if self.thread == threading.get_ident():
                self.spy.__exit__(None, None, None)


class Frozen:
    """A frozen tensor; see `freeze`. Thaws it when left as a context manager."""

    def __init__(self, tensor: Tensor) -> None:
        self._hold = _Hold(tensor)
        self._tensor = tensor  # a view may have no other name
        weakref.finalize(tensor, self._hold.thaw).atexit = False

    def thaw(self) -> None:
        """Let the tensor be written to again; more than once is as good as once.

        Raises:
            RuntimeError: Another thread froze it.
        """
        if self._hold.frozen and self._hold.thread != threading.get_ident():
            raise RuntimeError("thaw: another thread froze the tensor; thaw it there")
        self._hold.thaw()

    def __enter__(self) -> Frozen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.thaw()

    def __repr__(self) -> str:
        return f"Frozen({'frozen' if self._hold.frozen else 'thawed'})"


refuse_pickle(Frozen, "what keeps a tensor frozen", "keep the tensor, and freeze that one")


def freeze(tensor: Tensor) -> Frozen:
    """Make every later write to `tensor`, or to a view of it, raise on the line that writes.

    It stays so until ``thaw()``, or the end of ``with``, or the tensor is gone. Nothing is written
    then, and the tensor's version stays. Watched are the operators that this thread runs, and the
    engine for it; what writes past them (NumPy, a pointer, a compiled kernel) is not seen.

    >>> weight = torch.zeros(2)
    >>> frozen = libgrad.freeze(weight)
    >>> try:
    ...     weight[0] = 1
    ... except RuntimeError as error:
    ...     print(str(error).partition(",")[0])
    freeze: aten::copy_ would write into a frozen tensor (float32 [2] on cpu
    >>> frozen.thaw()
    >>> weight[0] = 1

    Raises:
        TypeError: `tensor` is not a tensor.
        RuntimeError: It has no memory that could be watched: it is sparse or nested, for one.

    Source: the dispatcher; see `doctor`.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"freeze: tensor must be a tensor, but is {type(tensor).__name__}")
    return Frozen(tensor)

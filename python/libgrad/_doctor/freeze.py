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
    """Frozen memory, and whether it still is frozen."""

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
    """A frozen tensor; see `freeze`. Leaving it as a context manager thaws the tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self._hold = _Hold(tensor)
        self._tensor = tensor  # a view may have no other reference
        weakref.finalize(tensor, self._hold.thaw).atexit = False

    def thaw(self) -> None:
        """Allow writes to the tensor again; a second call does nothing.

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

    The tensor is frozen until ``thaw()``, the end of ``with``, or the end of the tensor's life. A
    write that raises changes neither numbers nor version. The operators that this thread runs are
    watched, and those that the engine runs for it; other writes (by NumPy, a pointer, a compiled
    kernel) are not seen.

    >>> weight = torch.zeros(2)
    >>> frozen = libgrad.freeze(weight)
    >>> try:
    ...     weight.add_(1)
    ... except RuntimeError as error:
    ...     print(str(error).partition(",")[0])
    freeze: aten::add_.Tensor would write into a frozen tensor (float32 [2] on cpu
    >>> frozen.thaw()
    >>> weight += 1

    Raises:
        TypeError: `tensor` is not a tensor.
        RuntimeError: The tensor has no memory that can be watched, such as a sparse or nested one.

    Source: the dispatcher; see `doctor`.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"freeze: tensor must be a tensor, but is {type(tensor).__name__}")
    return Frozen(tensor)

"""Hooks on tensors that are saved for backward, by libgrad/hooks.h."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import _C

__all__ = ["compress", "save_on_cpu", "save_on_disk", "saved_tensors_hooks"]

Only = Callable[[str, Tensor], bool]


class _Hooks(torch.autograd.graph.saved_tensors_hooks):
    """Hooks on torch's stack; with `only`, the current operator is tracked while they hold."""

    def __init__(self, pack: Any, unpack: Any, only: Only | None) -> None:
        super().__init__(pack, unpack)
        self._watches = only is not None
        self._entered: list[tuple[int, _C.CurrentOpScope | None]] = []  # (thread, scope)

    def __enter__(self) -> None:
        super().__enter__()
        watch = _C.CurrentOpScope() if self._watches else None
        if watch is not None:
            watch.__enter__()
        self._entered.append((threading.get_ident(), watch))

    def __exit__(self, *error: object) -> None:
        thread = threading.get_ident()
        mine = [i for i, (by, _) in enumerate(self._entered) if by == thread]
        if not mine:
            raise RuntimeError(f"{type(self).__name__}: left by a thread that did not enter it")
        _, watch = self._entered.pop(mine[-1])
        super().__exit__(*error)
        if watch is not None:
            watch.__exit__(*error)


class saved_tensors_hooks(_Hooks):
    """Pack the tensors that operators save for backward, inside ``with``.

    It is torch's class, with two more options. `pack_hook` takes a tensor and returns any object
    from which `unpack_hook` makes the tensor again. The hooks hold for the calling thread, and for
    threads that work for it, such as the engine's for another device. Of nested hooks, including
    those of torch and C++, only the innermost are used.

    >>> x = torch.tensor([2.0, 3.0], requires_grad=True)
    >>> def pack(t):
    ...     return t.detach().numpy().tobytes()
    >>> def unpack(data):
    ...     return torch.frombuffer(bytearray(data), dtype=torch.float32)
    >>> with libgrad.saved_tensors_hooks(pack, unpack):
    ...     y = (x * x).sum()
    >>> libgrad.grad(y, x)
    (tensor([4., 6.]),)

    Args:
        pack_hook: Called with each tensor when it is saved. With one of the options below, the
            tensor is detached.
        unpack_hook: Called with the result of `pack_hook` whenever backward needs the tensor.
        only: A function that selects tensors: the hooks apply to those for which
            ``only(op, tensor)`` is true. `op` is the operator that saves the tensor, such as
            ``"aten::mul.Tensor"``; empty where no operator does, such as in a Function. Other
            tensors are saved as if the hooks were not there.
        compose: If `pack_hook` returns a tensor, the hooks around these ones pack it.

    Raises:
        TypeError: A hook cannot be called; in backward, when `unpack_hook` returned no tensor.
        RuntimeError: Hooks are disabled here, by torch.autograd.graph.disable_saved_tensors_hooks;
            in backward, when a tensor that `pack_hook` kept was changed in place.

    Source: torch.autograd.graph.saved_tensors_hooks, at::SavedTensorDefaultHooks.
    """

    def __init__(
        self,
        pack_hook: Callable[[Tensor], Any],
        unpack_hook: Callable[[Any], Tensor],
        *,
        only: Only | None = None,
        compose: bool = False,
    ) -> None:
        for name, hook in (("pack_hook", pack_hook), ("unpack_hook", unpack_hook)):
            if not callable(hook):
                raise TypeError(
                    f"saved_tensors_hooks: {name} must be callable, but is {type(hook).__name__}"
                )
        _check("saved_tensors_hooks", only, compose)
        if only is None and not compose:
            super().__init__(pack_hook, unpack_hook, None)
        else:
            hooks = _C.pack_hooks(pack_hook, unpack_hook, only, compose)
            super().__init__(hooks, _C.unpack, only)


class compress(_Hooks):
    """Keep saved floating-point tensors in `dtype`, where that is smaller.

    Float32 tensors take half the memory in ``torch.bfloat16``, and gradients have its precision.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with libgrad.compress(torch.bfloat16):
    ...     y = x.exp().sum()
    >>> libgrad.grad(y, x)
    (tensor([2.7188, 7.3750]),)

    Args:
        dtype: A floating-point dtype.
        only, compose: As in `saved_tensors_hooks`.

    Raises:
        RuntimeError: `dtype` is not a floating-point dtype.
        TypeError: `dtype` is not a dtype, or an option has another type.
    """

    def __init__(
        self,
        dtype: torch.dtype = torch.bfloat16,
        *,
        only: Only | None = None,
        compose: bool = False,
    ) -> None:
        if not isinstance(dtype, torch.dtype):
            raise TypeError(f"compress: dtype must be a torch.dtype, but is {type(dtype).__name__}")
        _check("compress", only, compose)
        super().__init__(_C.compress(dtype, only, compose), _C.unpack, only)


class save_on_cpu(_Hooks):
    """Keep saved tensors in the memory of the host until backward.

    With `pin_memory`, tensors of an accelerator are copied while the program goes on, by a separate
    stream for each device. They must not be changed in place before backward, which then raises, as
    without hooks. Their memory on the device is free once they are copied.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with libgrad.save_on_cpu():
    ...     y = (x * x).sum()
    >>> libgrad.grad(y, x)
    (tensor([2., 4.]),)

    Args:
        pin_memory: Copy into pinned memory. Neither the program nor the current stream waits for
            these copies; in backward the current stream waits for the copies back.
        device_type: Accepted as by torch, and ignored: pinned memory belongs to the accelerator
            that is available.
        only, compose: As in `saved_tensors_hooks`.

    Raises:
        RuntimeError: In backward, with `pin_memory`, when a tensor of an accelerator was changed in
            place.
        TypeError: An option has another type.

    Source: torch.autograd.graph.save_on_cpu.
    """

    def __init__(
        self,
        pin_memory: bool = False,
        device_type: str = "cuda",
        *,
        only: Only | None = None,
        compose: bool = False,
    ) -> None:
        _check_bool("save_on_cpu", "pin_memory", pin_memory)
        if not isinstance(device_type, str):
            raise TypeError(
                f"save_on_cpu: device_type must be str, but is {type(device_type).__name__}"
            )
        _check("save_on_cpu", only, compose)
        super().__init__(_C.save_on_cpu(pin_memory, only, compose), _C.unpack, only)


class save_on_disk(_Hooks):
    """Keep saved tensors in a file until backward, for graphs that are larger than the memory.

    The file has no name: it is deleted with the graph, or when the process ends in any way.
    Sparse, nested and quantized tensors and those of subclasses stay in memory.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> with libgrad.save_on_disk("/tmp"):
    ...     y = (x * x).sum()
    >>> libgrad.grad(y, x)
    (tensor([2., 4.]),)

    Args:
        path: The folder of the file.
        only, compose: As in `saved_tensors_hooks`.

    Raises:
        RuntimeError: `path` is not a writable folder; in forward, when the disk is full: tensors
            that were saved before are not lost.
        TypeError: `path` is not a path, or an option has another type.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        only: Only | None = None,
        compose: bool = False,
    ) -> None:
        _check("save_on_disk", only, compose)
        super().__init__(_C.save_on_disk(os.fsdecode(path), only, compose), _C.unpack, only)


def _check(function: str, only: object, compose: object) -> None:
    if only is not None and not callable(only):
        raise TypeError(f"{function}: only must be callable, but is {type(only).__name__}")
    _check_bool(function, "compose", compose)


def _check_bool(function: str, argument: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{function}: {argument} must be bool, but is {type(value).__name__}")

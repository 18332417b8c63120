"""Hooks around a selective checkpoint pack what its policy saves, whatever torch knows of it."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.utils.checkpoint as theirs
from torch.utils._pytree import tree_leaves, tree_map

from .. import _C

__all__ = ["routed"]

_LIBRARIES = (os.path.dirname(torch.__file__) + os.sep, __file__)


def routed(context: AbstractContextManager[Any], respect: bool | None) -> Any:
    """Return the context of a forward, which passes what it saves to hooks if `respect`.

    Contexts that are not torch's for selective checkpoints stay as they are.
    """
    if isinstance(context, theirs._CachingTorchDispatchMode):
        if hasattr(context, "respect_saved_tensors_hooks"):  # torch can do it itself
            context.respect_saved_tensors_hooks = respect
        else:
            storage: Any = context.storage
            if isinstance(storage, _Storage):  # of an earlier call
                storage = storage.inner
            context.storage = _Storage(storage, respect)
    return context


class _Storage:
    """The results that a policy saved, by operator; packs what is put in."""

    def __init__(self, inner: Any, respect: bool | None) -> None:
        self.inner = inner  # which the rerun takes from
        self._respect = respect

    def __getitem__(self, operator: object) -> _Results:
        return _Results(self.inner[operator], self._respect)


class _Results:
    """The results of one operator. Torch keeps them by index, or in a list."""

    def __init__(self, inner: Any, respect: bool | None) -> None:
        self._inner = inner
        self._respect = respect

    def __setitem__(self, index: int, result: object) -> None:
        self._inner[index] = _packed(result, self._respect)

    def append(self, result: object) -> None:
        self._inner.append(_packed(result, self._respect))


class _Packed:
    """A tensor that hooks packed, in the place of torch's _VersionWrapper."""

    def __init__(self, tensor: torch.Tensor, hooks: tuple[Any, Any]) -> None:
        pack, self._unpack = hooks
        self._kept = theirs._VersionWrapper(pack(tensor))

    def get_val(self, allow_cache_entry_mutation: bool) -> Any:
        return self._unpack(self._kept.get_val(allow_cache_entry_mutation))


def _packed(result: Any, respect: bool | None) -> Any:
    """Return `result` as it is to be kept; warn where it is not said how."""
    hooks = None if theirs._is_compiling(None, (), {}) else _hooks_of_program()
    if hooks is None or not any(map(_is_kept, tree_leaves(result))):
        return result
    if respect is None:
        warnings.warn(
            "checkpoint: hooks on saved tensors, such as save_on_cpu, are around a selective "
            "checkpoint, but do not see the tensors that its policy saves. A future torch passes "
            "them to the hooks. Say which you want, and this warning ends: "
            "respect_saved_tensors_hooks=True passes them, False keeps them as they are",
            FutureWarning,
            stacklevel=_level_of_program(),
        )
    if not respect:
        return result
    return tree_map(
        lambda kept: (
            _Packed(kept.val, hooks)
            if _is_kept(kept) and isinstance(kept.val, torch.Tensor)
            else kept
        ),
        result,
    )


def _level_of_program() -> int:
    """Return the number of frames up to the line that called the operator."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    return level


def _is_kept(value: object) -> bool:
    return isinstance(value, theirs._VersionWrapper)


def _hooks_of_program() -> tuple[Any, Any] | None:
    """Return the innermost hooks that no checkpoint has set."""
    for pack, unpack in _C.hooks_on_stack():
        of_ours = getattr(pack, "_checkpoint_internal", False)
        if not of_ours and getattr(pack, "__module__", "") != theirs.__name__:
            return pack, unpack
    return None

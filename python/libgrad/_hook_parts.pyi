"""Hooks on saved tensors, and checkpoints, which are in `_C`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_Only = Callable[[str, Tensor], bool] | None

class WatchOps:
    """libgrad::detail::WatchOps."""

    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class PackedTensor:
    """libgrad::detail::HookedTensor."""

class PackHooks:
    """libgrad::PackHooks with its options, callable as a pack hook."""

    def __call__(self, tensor: Tensor) -> PackedTensor: ...

def unpack(packed: PackedTensor) -> Tensor: ...
def pack_hooks(
    pack: Callable[[Tensor], Any],
    unpack: Callable[[Any], Tensor],
    only: _Only,
    compose: bool,
) -> PackHooks: ...
def compress(dtype: torch.dtype, only: _Only, compose: bool) -> PackHooks: ...
def offload_to_cpu(pin_memory: bool, only: _Only, compose: bool) -> PackHooks: ...
def name(tensor: Tensor, name: str) -> Tensor: ...
def checkpoint(
    forward: Callable[..., Any],
    again: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve_rng_state: bool,
    determinism_check: bool,
    early_stop: bool,
    save: list[str],
    offload: list[str],
) -> Any: ...
def checkpoint_optimal(
    functions: list[Callable[[Tensor], Tensor]],
    input: Tensor,
    slots: int,
    preserve_rng_state: bool,
) -> Tensor: ...
def offload_to_disk(path: str, only: _Only, compose: bool) -> PackHooks: ...

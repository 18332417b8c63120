"""A matrix whose rows are shared among the processes of a group; called by the binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["matrix"]


def matrix(make: Callable[[], Any], function: str, group: Any) -> Any:
    """Return the matrix of the rows that `make` returns; each rank computes its part of them.

    Before rows are exchanged the ranks tell one another whether they failed. A rank that failed
    raises its own error, and the others raise a RuntimeError that names it, so that no rank waits
    forever.
    """
    rank, size = _place(function, group)
    failure, rows, part = None, None, []
    try:
        rows = make()
        part = rows.part(rank, size)
    except Exception as error:
        failure = error
    said = f"{type(failure).__name__}: {failure}" if failure else None
    shapes = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in part]
    states: list[Any] = [None] * size
    dist.all_gather_object(states, (said, shapes), group=group)
    if failure is not None:
        raise failure
    for other, (error_of_other, shapes_of_other) in enumerate(states):
        if error_of_other is not None:
            raise RuntimeError(
                f"{function}: rank {other} of the group failed, and so there is no matrix; it "
                f"raised {error_of_other}"
            )
        if shapes_of_other != shapes:
            raise RuntimeError(
                f"{function}: rank {other} of the group has rows {shapes_of_other}, but rank "
                f"{rank} has {shapes}; call it on all ranks with the same function and inputs"
            )
    assert rows is not None
    return rows.whole([_gathered(tensor, size, group) for tensor in part])


def _place(function: str, group: Any) -> tuple[int, int]:
    """Return this process's rank in `group`, and the number of ranks."""
    if not dist.is_available() or not dist.is_initialized():
        raise ValueError(
            f"{function}: group was given, but torch.distributed is not initialized; call "
            "torch.distributed.init_process_group first"
        )
    member = isinstance(group, dist.ProcessGroup) and dist.get_rank(group) >= 0
    if not member and (isinstance(group, dist.ProcessGroup) or _is_no_member(group)):
        raise ValueError(
            f"{function}: this process (rank {dist.get_rank()}) is not in the group; call it on "
            "the group's ranks alone"
        )
    if not member:
        raise TypeError(
            f"{function}: group must be a process group of torch.distributed or None, but it is a "
            f"{type(group).__name__}"
        )
    return dist.get_rank(group), dist.get_world_size(group)


def _is_no_member(group: Any) -> bool:
    """Return whether `group` is what ``torch.distributed.new_group`` returns to non-members."""
    left_out = dist.GroupMember.NON_GROUP_MEMBER
    return type(group) is type(left_out) and bool(group == left_out)


def _carrier(tensor: torch.Tensor, group: Any) -> torch.device:
    """Return the device on which the group's backend can exchange the numbers of `tensor`."""
    backend = dist.get_backend(group)
    if backend in {"gloo", "mpi"}:
        return torch.device("cpu")
    if backend == "nccl" and not tensor.is_cuda:
        return torch.device("cuda", torch.cuda.current_device())
    return tensor.device


def _gathered(part: torch.Tensor, size: int, group: Any) -> torch.Tensor:
    """Return the parts of all ranks joined; they are sent as bytes: backends know few dtypes."""
    shape = (size * part.shape[0], *part.shape[1:])
    if part.numel() == 0:
        return part.new_empty(shape)
    mine = part.to(_carrier(part, group)).reshape(-1).resolve_conj().view(torch.uint8)
    everyone = mine.new_empty(size * mine.numel())
    dist.all_gather(list(everyone.chunk(size)), mine, group=group)
    return everyone.view(part.dtype).view(shape).to(part.device)

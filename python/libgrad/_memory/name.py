"""`name` and `checkpoint_name`: a name for a tensor; by libgrad/name.h."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _C

__all__ = ["checkpoint_name", "name"]


def name(tensor: Tensor, name: str) -> Tensor:
    """Call `tensor` by a name, and return it.

    `checkpoint` keeps the tensors whose names are in its `save` or `offload`, instead of computing
    them again, and `graph` shows names: that of a tensor at the node that made it.

    >>> def attention(q, k, v):
    ...     scores = libgrad.name(torch.softmax(q @ k.mT, -1), "attn_scores")
    ...     return scores @ v
    >>> q, k, v = torch.rand(3, 4, 8, 8, requires_grad=True)
    >>> y = libgrad.checkpoint(attention, q, k, v, save=("attn_scores",))
    >>> y.sum().backward()

    Args:
        tensor: Of any shape, dtype and device. It has one name, the last that it was given.
        name: Several tensors may have the same one.

    Raises:
        RuntimeError: A checkpoint around is to keep it, and cannot: it belongs to a transform of
            torch.func, such as vmap, inside of the checkpoint's function.
        TypeError: `tensor` is not a tensor, or `name` no string.
        ValueError: `name` is empty.

    Under torch.compile names do nothing.

    Source: jax.ad_checkpoint.checkpoint_name.
    """
    return _named("name", tensor, name)


def checkpoint_name(tensor: Tensor, name: str) -> Tensor:
    """Call `tensor` by a name, and return it: `name`, by JAX's word for it.

    >>> def attention(q, k, v):
    ...     scores = libgrad.checkpoint_name(torch.softmax(q @ k.mT, -1), "attn_scores")
    ...     return scores @ v
    >>> q, k, v = torch.rand(3, 4, 8, 8, requires_grad=True)
    >>> y = libgrad.checkpoint(attention, q, k, v, save=("attn_scores",))

    Source: jax.ad_checkpoint.checkpoint_name.
    """
    return _named("checkpoint_name", tensor, name)


def _named(function: str, tensor: Tensor, name: str) -> Tensor:
    if torch.compiler.is_compiling():
        return tensor
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{function}: tensor must be a tensor, but is {type(tensor).__name__}")
    if not isinstance(name, str):
        raise TypeError(f"{function}: name must be a string, but is {type(name).__name__}")
    if not name:
        raise ValueError(f"{function}: name must not be empty")
    return _C.name(tensor, name)

"""`name` and `checkpoint_name`: give a tensor a name; by libgrad/name.h."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _C

__all__ = ["checkpoint_name", "name"]


def name(tensor: Tensor, name: str) -> Tensor:
    """Give `tensor` a name, and return it.

    `checkpoint` keeps the tensors whose names are in its `save` or `offload`, instead of computing
    them again. `graph` shows the name of a tensor at the node that made it.

    >>> def attention(q, k, v):
    ...     scores = libgrad.name(torch.softmax(q @ k.mT, -1), "attn_scores")
    ...     return scores @ v
    >>> q, k, v = torch.rand(3, 4, 8, 8, requires_grad=True)
    >>> y = libgrad.checkpoint(attention, q, k, v, save=("attn_scores",))
    >>> y.sum().backward()

    Args:
        tensor: A tensor of any shape, dtype and device. It has one name, the last that was given.
        name: The name. Several tensors may have the same name.

    Raises:
        RuntimeError: The surrounding checkpoint cannot keep the tensor, because the tensor belongs
            to a transform of torch.func, such as vmap, inside the checkpoint's function.
        TypeError: `tensor` is not a tensor, or `name` is not a string.
        ValueError: `name` is empty.

    Under torch.compile names do nothing.

    Source: jax.ad_checkpoint.checkpoint_name.
    """
    return _named("name", tensor, name)


def checkpoint_name(tensor: Tensor, name: str) -> Tensor:
    """Give `tensor` a name, and return it: `name`, under JAX's name for it.

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

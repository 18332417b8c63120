"""Tensors in nests of dicts, lists and tuples: torch's pytrees, for the binding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch.utils import _pytree as pytree

__all__ = ["flatten", "flatten_like", "refuse", "unflatten"]


def flatten(nest: Any, function: str, what: str) -> tuple[list[torch.Tensor], pytree.TreeSpec]:
    """Return the tensors in `nest` and its structure; raise TypeError for another leaf."""
    leaves, spec = pytree.tree_flatten(nest)
    if not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        refuse(nest, function, what)
    return leaves, spec


def flatten_like(
    spec: pytree.TreeSpec, nest: Any, is_tuple: bool, function: str, what: str
) -> list[torch.Tensor]:
    """Return the tensors in `nest`, which must have the structure `spec`, in its order."""
    try:
        leaves: list[Any] = spec.flatten_up_to(nest)
    except ValueError as error:
        raise ValueError(
            f"{function}: {what} must be nested as what it is multiplied with, a "
            f"{'tuple' if is_tuple else spec.type.__name__}: {error}"
        ) from None
    if not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        refuse(nest, function, what)
    return leaves


def unflatten(spec: pytree.TreeSpec, leaves: Sequence[Any]) -> Any:
    """Return `leaves` in the structure `spec`."""
    return pytree.tree_unflatten(leaves, spec)


def refuse(nest: Any, function: str, what: str) -> NoReturn:
    """Raise TypeError for the first leaf of `nest` that is not a tensor, in torch's words."""
    said = f"The {what} given to {function} must be either a Tensor or a tuple of Tensors"
    if isinstance(nest, tuple):
        for index, item in enumerate(nest):
            if not isinstance(item, torch.Tensor) and pytree.tree_is_leaf(item):
                raise TypeError(f"{said} but the value at index {index} has type {type(item)}.")
    for path, leaf in pytree.tree_flatten_with_path(nest)[0]:
        if path and not isinstance(leaf, torch.Tensor):
            raise TypeError(
                f"{said} (or a nest of them in dicts, lists and tuples) but the value at "
                f"{pytree.keystr(path)} has type {type(leaf)}."
            )
    raise TypeError(f"{said} but the given {what} has type {type(nest)}.")

"""Names of leaves: a module, a dict of tensors, or pairs of a name and a tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

__all__ = ["Params", "named"]

Params = torch.nn.Module | Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]


def named(params: Params | None, function: str) -> list[tuple[str, Tensor]]:
    """Return the names and tensors of `params`, an argument of `function`."""
    if isinstance(params, torch.nn.Module):
        return list(params.named_parameters())
    items = params.items() if isinstance(params, Mapping) else params
    if items is None:
        return []
    if isinstance(items, Tensor | str) or not isinstance(items, Iterable):
        raise TypeError(
            f"{function}: params must be a module, a dict of tensors, or pairs of a name and a "
            f"tensor, but is {type(params).__name__}"
        )
    named = []
    for item in items:
        if not isinstance(item, tuple) or len(item) != 2:
            raise TypeError(
                f"{function}: params must hold pairs of a name and a tensor, such as "
                f"model.named_parameters(), but holds {type(item).__name__}"
            )
        name, tensor = item
        if not isinstance(name, str):
            raise TypeError(f"{function}: the names in params must be str, but one is {name!r}")
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{function}: params[{name!r}] must be a tensor, but is {type(tensor).__name__}"
            )
        named.append((name, tensor))
    return named

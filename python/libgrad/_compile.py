"""C++ Functions under torch.compile: each is traced as its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ._bound import Bound


def substitute(bound: Bound) -> None:
    """Have torch._dynamo, which is imported by now, leave `bound`'s function in its graphs."""
    torch.compiler.allow_in_graph(bound.function)

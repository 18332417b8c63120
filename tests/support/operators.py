"""Which operators this torch runs where torch has more than one for the same line of Python."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Writers(TorchDispatchMode):
    """Notes the operators that write to their arguments, by the names that C++ has for them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None) -> Any:
        if op._schema.is_mutable:
            self.names.append(op.name())
        return op(*args, **(kwargs or {}))


def _assign(index: Any, *shape: int) -> Callable[[], None]:
    return lambda: torch.zeros(shape).__setitem__(index, 0.5)


ASSIGNMENTS = {
    "x[i] = v": _assign(0, 2, 2),
    "x[mask] = v": _assign(torch.tensor([True, False]), 2),
    "scalar[i] = v": _assign(0, 2),  # of one element
}


@cache
def writer(assignment: str) -> str:
    """The operator that an assignment runs, such as ``aten::fill_.Scalar``."""
    with _Writers() as writers:
        ASSIGNMENTS[assignment]()
    (name,) = writers.names
    return name


def _views_of_attention() -> int:
    """How many of the views in torch's attention are an UnsafeViewBackward0."""
    x = torch.ones(1, 3, 4)
    nodes = [torch.nn.MultiheadAttention(4, 2, batch_first=True)(x, x, x)[0].grad_fn]
    seen = set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [edge[0] for edge in node.next_functions]
    return sum(node.name() == "UnsafeViewBackward0" for node in seen)


# For expected pictures of models.
same_attention = pytest.mark.skipif(
    _views_of_attention() != 1,
    reason="drawn with a torch whose attention makes one UnsafeViewBackward0, "
    f"not {_views_of_attention()}",
)

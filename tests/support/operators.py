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


def _node_of_linear() -> str:
    x = torch.zeros(2, 3, 4, requires_grad=True)
    return torch.nn.functional.linear(x, torch.zeros(4, 4), torch.zeros(4)).grad_fn.name()


# For expected pictures of models: those of the files of another torch are not ours to draw.
same_linear = pytest.mark.skipif(
    _node_of_linear() != "ViewBackward0",
    reason=f"drawn with a torch whose nn.Linear makes a ViewBackward0, not {_node_of_linear()}",
)

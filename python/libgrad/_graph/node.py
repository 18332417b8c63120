"""`node` and `print_graph`: a node of a live graph, and the graph as a tree."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TextIO

from torch import Tensor

from .. import _C
from .._C import InputMetadata, Node
from .._results import immutable, refuse_pickle

__all__ = ["Node", "node", "print_graph"]

refuse_pickle(immutable(Node), "a node", "libgrad.graph(tensor).to_json() is its graph, as text")
refuse_pickle(immutable(InputMetadata), "it", "keep its shape, dtype and device")


def _check_tensor(value: object, function: str, what: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{function}: {what} must be a tensor, but is {type(value).__name__}")


def node(tensor: Tensor) -> Node:
    """Return the node of the graph that made `tensor`, or that accumulates into a leaf.

    A `Node` is a plain value, compared and hashed by the node it stands for. It keeps that node
    alive, together with everything behind it. Walking a graph needs no recursion, however deep it
    is.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = torch.tensor(3.0, requires_grad=True)
    >>> f = (x + y) * (y + 1)
    >>> libgrad.node(f).name
    'MulBackward0'
    >>> [(n.name, i) for n, i in libgrad.node(f).next]
    [('AddBackward0', 0), ('AddBackward0', 0)]
    >>> libgrad.node(f).inputs
    (InputMetadata(shape=[], dtype=torch.float32, device=cpu),)
    >>> libgrad.node(x).variable is x
    True

    Raises:
        RuntimeError: `tensor` does not require grad, so no node made it.
        TypeError: `tensor` is not a tensor.
    """
    _check_tensor(tensor, "node", "the argument")
    return _C.node(tensor)


def print_graph(
    tensor: Tensor,
    params: Mapping[str, Tensor] | None = None,
    *,
    max_depth: int = 32,
    file: TextIO | None = None,
) -> None:
    """Print the graph behind `tensor` as a tree: its node on top, leaves at the ends.

    Below each node are the nodes that its gradients go to, each with the dtype and shape of the
    gradient. A node that is reached twice is drawn once.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = torch.tensor(3.0, requires_grad=True)
    >>> libgrad.print_graph((x + y) * (y + 1), {"x": x, "y": y})
    MulBackward0  float32 []
    ├── AddBackward0  float32 []
    │   ├── AccumulateGrad  x: float32 []
    │   └── AccumulateGrad  y: float32 []
    └── AddBackward0  float32 []
        └── AccumulateGrad  y: float32 []

    Args:
        tensor: The tensor to start from; it must require grad.
        params: Names of leaves, such as ``dict(model.named_parameters())``.
        max_depth: The number of levels that are drawn below the first.
        file: The file to print to; standard output by default.

    Raises:
        RuntimeError: `tensor` does not require grad.
        TypeError: `tensor`, or one of `params`, is not a tensor; `max_depth` is not an int.
        ValueError: `max_depth` is negative.
    """
    _check_tensor(tensor, "print_graph", "the argument")
    names = dict(params or {})
    for name, leaf in names.items():
        if not isinstance(name, str):
            raise TypeError(f"print_graph: the keys of params must be str, but one is {name!r}")
        _check_tensor(leaf, "print_graph", f"params[{name!r}]")
    if not isinstance(max_depth, int) or max_depth < 0:
        error = ValueError if isinstance(max_depth, int) else TypeError
        raise error(f"print_graph: max_depth must be an int from 0 up, but is {max_depth!r}")
    print(_C.to_text(tensor, names, min(max_depth, sys.maxsize)), end="", file=file)

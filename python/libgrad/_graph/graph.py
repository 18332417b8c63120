"""`graph`: what stands behind tensors, as plain data from libgrad/graph.h."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from .. import _C
from .._C import Graph

__all__ = ["Graph", "graph"]

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


def graph(*tensors: Tensor | GradientEdge, params: Params | None = None) -> Graph:
    """Return the graph behind `tensors`, and all that its nodes saved, as plain data.

    The snapshot keeps nothing alive and changes nothing: no hook runs, nothing is unpacked, no
    version moves. Its entries are made into Python objects when they are read.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> g = libgrad.graph((x * x.exp()).sum(), params={"x": x})
    >>> g
    Graph(4 nodes, 4 edges, 1 leaf, 3 saved tensors, 16 bytes)
    >>> [node.name for node in g.nodes]
    ['SumBackward0', 'MulBackward0', 'AccumulateGrad', 'ExpBackward0']
    >>> g.nodes[1].saved[0]
    SavedTensor(other, float32 [2], 8 bytes)

    No backward may run on the graph meanwhile, in another thread.

    Args:
        tensors: Where the graph starts: tensors that require grad, or GradientEdges.
        params: Names for leaves: a module, a dict, or pairs such as
            ``model.named_parameters()``.

    Raises:
        RuntimeError: A tensor does not require grad, so there is no graph behind it.
        TypeError: There is no tensor, or something that is not a tensor or a name.
    """
    if not tensors:
        raise TypeError("graph: expected at least one tensor")
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor | GradientEdge):
            raise TypeError(f"graph: tensor {i} must be a tensor, but is {type(tensor).__name__}")
    return _C.graph(tensors, named(params, "graph"))


def _copy(graph: Graph, memo: object = None) -> Graph:
    """Return the graph itself, which never changes."""
    return graph


def _reduce(graph: Graph) -> NoReturn:
    raise TypeError("Graph: a snapshot cannot be pickled; its to_json() is the same data, as text")


Graph.__copy__ = Graph.__deepcopy__ = _copy  # type: ignore[attr-defined]
Graph.__reduce__ = _reduce  # type: ignore[method-assign, assignment]

"""`alive`: which graphs there are, and the variables that keep them."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from . import _C
from ._C import Graph
from ._lens import graph as graph_behind
from ._referrers import Holder, holders_of

__all__ = ["AliveGraph", "AliveGraphs", "Holder", "alive"]


@dataclass(frozen=True)
class AliveGraph:
    """A graph that somebody holds by the tensor at its end.

    Attributes:
        name: The node that made the tensor, ``"AddBackward0"``.
        shape: Of the tensor.
        nodes: How many nodes the graph has.
        nbytes: What its nodes saved, in bytes, each storage counted once.
        exclusive_nbytes: What of these is free when the graph goes.
        holders: The names that lead to the tensor; none when only C++ holds it, or a reference
            cycle that waits for the garbage collector.
    """

    name: str
    shape: tuple[int, ...]
    nodes: int
    nbytes: int
    exclusive_nbytes: int
    holders: tuple[Holder, ...]

    def __str__(self) -> str:
        by = "; ".join(map(str, self.holders)) or "C++ or a reference cycle: no name leads to it"
        return (
            f"{self.name} {list(self.shape)}: {self.nodes:,} nodes hold {self.nbytes:,} bytes "
            f"({self.exclusive_nbytes:,} of them alone)\n    held by {by}"
        )


class AliveGraphs(tuple[AliveGraph, ...]):
    """What `alive` found; as text, a line for each graph."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no graph is alive"


def alive() -> AliveGraphs:
    """Return the graphs that are alive, the largest first, and the names that hold them.

    A graph inside another one is not listed: of ``h = f(x)`` and ``loss = g(h)`` only that of
    `loss` is. Seen are globals, locals of all threads' running frames, of suspended generators and
    of tracebacks, closures, attributes, and what containers lead to from there. Tensors without a
    Python object are not seen.

    >>> w = torch.ones(3, requires_grad=True)
    >>> total = torch.zeros(())
    >>> for _ in range(3):
    ...     total = total + (w * w).sum()  # instead of .item(): all steps' graphs stay
    >>> print(next(g for g in libgrad.alive() if "total" in str(g)))
    AddBackward0 []: 10 nodes hold 12 bytes (0 of them alone)
        held by total (global of __main__)

    Source: the garbage collector's referrers and the interpreter's frames.
    """
    return graphs_of(tensors_with_a_graph())


def tensors_with_a_graph() -> list[Tensor]:
    """Return them all, without calling into objects that only look like tensors."""
    tensors = [found for found in gc.get_objects() if issubclass(type(found), Tensor)]
    return [tensor for tensor in tensors if _C.has_graph(tensor)]


def graphs_of(tensors: Iterable[Tensor]) -> AliveGraphs:
    """Return the outermost graphs among those of `tensors`, and who holds these."""
    ends = _C.outermost(list(tensors))
    names = holders_of([tensor for same in ends for tensor in same])
    found = []
    for same in ends:
        holders = {holder: None for tensor in same for holder in names.get(id(tensor), ())}
        graph = graph_behind(same[0])
        found.append(
            AliveGraph(
                name=graph.nodes[0].name,
                shape=tuple(same[0].shape),
                nodes=len(graph.nodes),
                nbytes=graph.nbytes,
                exclusive_nbytes=graph.exclusive_nbytes,
                holders=tuple(holders),
            )
        )
    return AliveGraphs(sorted(found, key=lambda g: (-g.exclusive_nbytes, -g.nbytes, -g.nodes)))


def holders(graph: Graph) -> tuple[Holder, ...]:
    """Return the names that keep the graph of this snapshot, or a part of it, alive.

    >>> x = torch.ones(3, requires_grad=True)
    >>> loss = x.exp().sum()
    >>> [str(holder) for holder in libgrad.graph(loss).holders()]
    ['loss (global of __main__)']
    """
    tensors = _C.made_by(graph, tensors_with_a_graph())
    names = holders_of(tensors)
    return tuple(dict.fromkeys(holder for tensor in tensors for holder in names[id(tensor)]))


Graph.holders = holders  # type: ignore[assignment, method-assign]

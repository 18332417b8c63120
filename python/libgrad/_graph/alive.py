"""`alive`: the graphs that are alive, and the variables that keep them alive."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from .. import _C
from .._C import Graph
from .._results import immutable
from .referrers import Holder, holders_of

__all__ = ["AliveGraph", "AliveGraphs", "Holder", "alive"]


_End = Tensor | Node  # an object that keeps a graph alive: a computed tensor, or its node


@immutable
@dataclass(frozen=True)
class AliveGraph:
    """A graph that is held by the tensor at its end, or by the tensor's node.

    Attributes:
        name: The node that made the tensor, such as ``"AddBackward0"``.
        shape: The shape of the tensor.
        nodes: The number of nodes in the graph.
        nbytes: The bytes that the graph's nodes saved, each storage counted once.
        exclusive_nbytes: The part of these bytes that is freed when the graph is freed.
        holders: The names that lead to the tensor or its node, and the number of C++ references.
            Empty when only a reference cycle holds it, or an object that the interpreter does not
            show.
    """

    name: str
    shape: tuple[int, ...]
    nodes: int
    nbytes: int
    exclusive_nbytes: int
    holders: tuple[Holder, ...]

    def __str__(self) -> str:
        by = "; ".join(map(str, self.holders)) or "a reference cycle, or what has no name"
        return (
            f"{self.name} {list(self.shape)}: {self.nodes:,} nodes hold {self.nbytes:,} bytes "
            f"({self.exclusive_nbytes:,} of them alone)\n    held by {by}"
        )


@immutable
class AliveGraphs(tuple[AliveGraph, ...]):
    """The graphs that `alive` found; as text, a few lines for each graph."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no graph is alive"


def alive() -> AliveGraphs:
    """Return the graphs that are alive, the largest first, and what holds them.

    A graph inside another graph is not listed: of ``h = f(x)`` and ``loss = g(h)`` only the graph
    of `loss` is. The tensors at the ends of graphs and their ``grad_fn`` are found, and the names
    that lead to them: globals, locals of all threads' running frames, of suspended generators and
    of tracebacks, closures, attributes, and containers in these. C++ references are counted. A
    graph of which Python has no object is not found.

    >>> w = torch.ones(3, requires_grad=True)
    >>> total = torch.zeros(())
    >>> for _ in range(3):
    ...     total = total + (w * w).sum()  # instead of .item(): all steps' graphs stay
    >>> print(next(g for g in libgrad.alive() if "total" in str(g)))
    AddBackward0 []: 10 nodes hold 12 bytes (0 of them alone)
        held by total (global of __main__)

    Source: the garbage collector's referrers, the interpreter's frames, LibTorch's use counts.
    """
    ends = _C.outermost(ends_of_graphs())
    names = holders_of([end for same in ends for end in same])
    found = []
    for same in ends:
        root = same[0] if isinstance(same[0], Tensor) else GradientEdge(same[0], 0)
        graph = _C.graph((root,), [])
        found.append(
            AliveGraph(
                name=graph.nodes[0].name,
                shape=_shape(root, graph),
                nodes=len(graph.nodes),
                nbytes=graph.nbytes,
                exclusive_nbytes=graph.exclusive_nbytes,
                holders=_holders(same, names, [same]),
            )
        )
    return AliveGraphs(sorted(found, key=lambda g: (-g.exclusive_nbytes, -g.nbytes, -g.nodes)))


def _shape(root: Tensor | GradientEdge, graph: Graph) -> tuple[int, ...]:
    if isinstance(root, Tensor):
        return tuple(root.shape)
    [gradient, *_] = graph.nodes[0].inputs
    return (gradient and gradient.shape) or ()


def ends_of_graphs() -> list[_End]:
    """Return all computed tensors and nodes; calls no code of objects that only resemble them."""
    return _C.with_graph(gc.get_objects())


def _holders(
    kept: list[_End], names: dict[int, list[Holder]], ends: list[list[_End]]
) -> tuple[Holder, ...]:
    """Return the names of `kept`, each once, and the number of C++ references to `ends`."""
    found = {holder: None for end in kept for holder in names.get(id(end), ())}
    count = sum(map(_C.references_of_cpp, ends))
    of_cpp = [Holder(f"{count} reference{'s' * (count > 1)}", "C++")] if count else []
    return (*found, *of_cpp)


def holders(self: Graph) -> tuple[Holder, ...]:
    # documented in _C/graph.pyi
    kept = _C.made_by(self, ends_of_graphs())
    names = holders_of(kept)
    return _holders(kept, names, _C.outermost(kept))

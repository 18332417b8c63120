"""`alive`: which graphs there are, and the variables that keep them."""

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


_End = Tensor | Node  # what keeps a graph: a tensor that was computed, or what made it


@immutable
@dataclass(frozen=True)
class AliveGraph:
    """A graph that somebody holds by the tensor at its end, or by its node.

    Attributes:
        name: The node that made the tensor, ``"AddBackward0"``.
        shape: Of the tensor.
        nodes: How many nodes the graph has.
        nbytes: What its nodes saved, in bytes, each storage counted once.
        exclusive_nbytes: What of these is free when the graph goes.
        holders: The names that lead to the tensor or its node, and how many references of C++
            there are; none when only a reference cycle holds it, or what the interpreter does not
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
    """What `alive` found; as text, a line for each graph."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no graph is alive"


def alive() -> AliveGraphs:
    """Return the graphs that are alive, the largest first, and who holds them.

    A graph inside another one is not listed: of ``h = f(x)`` and ``loss = g(h)`` only that of
    `loss` is. Seen are the tensors at their ends and their ``grad_fn``, and the names that lead to
    these: globals, locals of all threads' running frames, of suspended generators and of
    tracebacks, closures, attributes, and what containers lead to from there. References of C++
    are counted. A graph that Python has no object of is not seen.

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
    """Return all there are; nothing is called of objects that only look like tensors."""
    return _C.with_graph(gc.get_objects())


def _holders(
    kept: list[_End], names: dict[int, list[Holder]], ends: list[list[_End]]
) -> tuple[Holder, ...]:
    """Return the names of `kept`, each once, and the references of C++ to `ends`."""
    found = {holder: None for end in kept for holder in names.get(id(end), ())}
    count = sum(map(_C.references_of_cpp, ends))
    of_cpp = [Holder(f"{count} reference{'s' * (count > 1)}", "C++")] if count else []
    return (*found, *of_cpp)


def holders(self: Graph) -> tuple[Holder, ...]:
    # documented in _C/graph.pyi
    kept = _C.made_by(self, ends_of_graphs())
    names = holders_of(kept)
    return _holders(kept, names, _C.outermost(kept))

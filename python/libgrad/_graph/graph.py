"""`graph`: the graph behind tensors as plain data, by libgrad/graph.h."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd.graph import GradientEdge

from .. import _C
from .._C import Graph
from .._results import immutable, refuse_pickle
from .alive import holders
from .params import Params, named
from .unused import unused

__all__ = ["Graph", "graph"]


def graph(*tensors: Tensor | GradientEdge, params: Params | None = None) -> Graph:
    """Return the graph behind `tensors`, and all that its nodes saved, as plain data.

    The snapshot keeps nothing alive, and taking it changes nothing: no hook runs, no saved tensor
    is unpacked, no version changes. Its entries become Python objects when they are read.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> g = libgrad.graph((x * x.exp()).sum(), params={"x": x})
    >>> g
    Graph(4 nodes, 4 edges, 1 leaf, 3 saved tensors, 16 bytes)
    >>> [node.name for node in g.nodes]
    ['SumBackward0', 'MulBackward0', 'AccumulateGrad', 'ExpBackward0']
    >>> g.nodes[1].saved[0]
    SavedTensor(other, float32 [2], 8 bytes)

    No other thread may run backward on the graph meanwhile.

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


# The methods of Graph that are written in Python; those in C++ are bound with the class.
_METHODS = {
    "holders": holders,
    "unused": unused,
}
for _name, _method in _METHODS.items():
    _method.__doc__ = _C.docstring(f"Graph.{_name}")
    setattr(Graph, _name, _method)

_PARTS: tuple[Any, ...] = (
    _C.GraphNode,
    _C.GraphEdge,
    _C.GraphInput,
    _C.GraphRoot,
    _C.GraphStorage,
    _C.SavedTensor,
)
_ANSWERS = (  # a type, what an instance is, and what to keep instead, since it cannot be pickled
    (_C.GraphDiff, "a difference", "keep its report, str(diff), or its lists"),
    (_C.ChangedNode, "an entry of a difference", "keep its before, after and what"),
    (_C.GraphPlan, "a plan", "keep its report, str(plan), or the numbers of its steps"),
    (_C.PlanStep, "a step of a plan", "keep its numbers"),
    (_C.GraphWhy, "an answer", "keep its report, str(why), or its paths"),
    (_C.UnusedParams, "an answer", "keep its report, str(unused), or its names and reasons"),
    (_C.UnusedParam, "an entry of an answer", "keep its name, reason and text"),
    (_C.GraphEnd, "an entry of an answer", "keep its node, saved and text"),
)
refuse_pickle(immutable(Graph), "a snapshot", "its to_json() is the same data, as text")
for _part in _PARTS:
    for _type in (_part, _part.Sequence):
        refuse_pickle(
            immutable(_type),
            "a part of a snapshot",
            "the to_json() of its graph is the same data, as text",
        )
for _answer, _what, _instead in _ANSWERS:
    refuse_pickle(immutable(_answer), _what, _instead)

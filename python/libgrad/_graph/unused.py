"""`Graph.unused`: parameters without gradient, from libgrad/unused.h."""

from __future__ import annotations

from .. import _C
from .._C import Graph, UnusedParams
from .params import Params, named


def unused(graph: Graph, params: Params) -> UnusedParams:
    """Return which of `params` get no gradient from this graph, and why.

    Only what can be known is told. The reasons, the first one that holds:

    - "frozen": `requires_grad` is False; "integer": its dtype has no gradient.
    - "not a leaf": it was computed, so it gets no `.grad`.
    - "overwritten": it is in the graph, but behind nodes that give zeros whatever arrives, such as
      those of `zero_`, `fill_`, `copy_` into it, `floor`, `round` and `sign`.
    - "shares memory": another leaf of the graph lies in its memory.
    - "cut": its values were used, but without gradient: `detach()`, `.data`, `no_grad()`.
    - "elsewhere": its AccumulateGrad is alive, but not in this graph.
    - "module not in graph": what was recorded has no node of the module that owns it.
    - "no trace": nothing in the graph shows a use of it.

    >>> model = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 1)})
    >>> hidden = model.body(torch.ones(1, 2))
    >>> loss = torch.nn.functional.linear(hidden, model.head.weight.detach()).sum()
    >>> [param.reason for param in libgrad.graph(loss).unused(model)]
    ['cut', 'no trace']

    `params` is a module, a dict of tensors, or pairs such as ``model.named_parameters()``. Not seen
    are a Function (or a compiled graph) that gives no gradient to one of its inputs, and a use
    without gradient in an operator that saves nothing, such as a sum.

    Returns:
        UnusedParams: A sequence of `UnusedParam` with `name`, `reason`, `node` (the id of the one
        that shows it, or None) and `text`, a sentence; empty when all get a gradient. Its `ends`
        are the tensors that came into the graph and get no gradient, by `node`, `saved` (a place
        in `Graph.saved`) and `text`. It is a report as a string.

    Raises:
        TypeError: `params` is none of these, or holds something that is not a tensor or a name.
    """
    if params is None:
        raise TypeError("unused: params must be a module, a dict of tensors, or pairs, but is None")
    return _C.unused(graph, named(params, "unused"))

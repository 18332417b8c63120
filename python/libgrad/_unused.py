"""`Graph.unused`: parameters without gradient, from libgrad/unused.h."""

from __future__ import annotations

from . import _C
from ._C import Graph, UnusedParams
from ._lens import Params, named


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
    >>> loss = torch.nn.functional.linear(model.body(torch.ones(1, 2)), model.head.weight.detach())
    >>> print(libgrad.graph(loss.sum(), params=model).unused(model))
    no gradient comes to 2 of 4 parameters:
      head.weight: cut (its values were used without it (detach(), .data, no_grad(), or ...
      head.bias: no trace (nothing in the graph shows a use of it)
    tensors that came in without gradient, as data do and what is detached:
      node 1, MmBackward0: mat2, float32 [2, 1], in the memory of 'head.weight'
      node 2, AddmmBackward0: mat1, float32 [1, 2]

    A Function that gives no gradient at its own will is not seen, nor is a use without gradient in
    an operator that saves nothing, such as a sum.

    Args:
        params: A module, a dict of tensors, or pairs such as ``model.named_parameters()``.

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


Graph.unused = unused  # type: ignore[method-assign]

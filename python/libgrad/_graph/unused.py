"""`Graph.unused`: parameters without gradient, by libgrad/unused.h."""

from __future__ import annotations

from .. import _C
from .._C import Graph, UnusedParams
from .params import Params, named


def unused(self: Graph, params: Params) -> UnusedParams:
    # documented in _C/graph.pyi
    if params is None:
        raise TypeError("unused: params must be a module, a dict of tensors, or pairs, but is None")
    return _C.unused(self, named(params, "unused"))

"""The classes of a Graph and its parts, which are in `_C`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from .._graph.params import Params
from .._graph.referrers import Holder
from .questions import GraphDiff, GraphPlan, GraphWhy, UnusedParams

class GraphInput:
    """A gradient that a node takes."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its sizes, -1 for a symbol; None for a nested tensor."""

    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...

class GraphEdge:
    """Where a gradient goes: from an output of one node to an input of another."""

    @property
    def source(self) -> int:
        """The id of the node that computes the gradient."""

    @property
    def output(self) -> int: ...
    @property
    def target(self) -> int:
        """The id of the node that takes it."""

    @property
    def input(self) -> int: ...

class GraphRoot:
    """Where a gradient enters."""

    @property
    def node(self) -> int: ...
    @property
    def input(self) -> int: ...

class GraphStorage:
    """Memory that saved tensors lie in."""

    @property
    def nbytes(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def owner(self) -> str:
        """Who keeps it: 'graph' alone, a 'leaf', or some 'other'."""

class SavedTensor:
    """A tensor that a node saved."""

    @property
    def node(self) -> int:
        """The id of the node."""

    @property
    def field(self) -> str:
        """The node's word for it: 'self', 'saved_tensors', 'ctx.name', ..."""

    @property
    def index(self) -> int | None:
        """Its place, where the field is a list."""

    @property
    def state(self) -> str:
        """'held', 'none', 'released' by a backward, or 'packed' by a hook."""

    @property
    def hooks(self) -> bool: ...
    @property
    def is_output(self) -> bool:
        """True for an output of the forward operation itself."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its sizes, -1 for a symbol; of a packed one, what the hook made of it."""

    @property
    def dtype(self) -> torch.dtype | None: ...
    @property
    def device(self) -> torch.device | None: ...
    @property
    def saved_version(self) -> int | None: ...
    @property
    def version(self) -> int | None: ...
    @property
    def stale(self) -> bool:
        """True when it was changed in place since: backward will refuse."""

    @property
    def storage(self) -> int | None:
        """Its place in `Graph.storages`."""

    @property
    def offset(self) -> int: ...
    @property
    def nbytes(self) -> int:
        """Of its own elements."""

    @property
    def leaf(self) -> int | None:
        """The id of the node of the leaf that it is, or looks into."""

    @property
    def label(self) -> str | None:
        """What `libgrad.name` called it."""

class GraphNode:
    """A node of a graph."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str:
        """'operator', 'leaf', 'view', 'function', 'python', 'compiled' or 'other'."""

    @property
    def op(self) -> str | None: ...
    @property
    def file(self) -> str | None: ...
    @property
    def line(self) -> int | None: ...
    @property
    def module(self) -> str | None: ...
    @property
    def sequence_nr(self) -> int: ...
    @property
    def thread(self) -> int: ...
    @property
    def order(self) -> int:
        """When backward runs it, from 0."""

    @property
    def hooks(self) -> int: ...
    @property
    def inputs(self) -> tuple[GraphInput | None, ...]:
        """The gradients that it takes; None for what was never made."""

    @property
    def next(self) -> tuple[tuple[int, int] | None, ...]:
        """Where its gradients go: the id of a node and its input."""

    @property
    def saved(self) -> Sequence[SavedTensor]: ...
    @property
    def leaf(self) -> str | None:
        """The name of the leaf, in `params` or by `libgrad.name`."""

    @property
    def label(self) -> str | None:
        """What `libgrad.name` called its outputs."""

    @property
    def note(self) -> str | None:
        """What could not be read, and why."""

    @property
    def stream(self) -> str | None: ...
    @property
    def nbytes(self) -> int:
        """Of what it saved, each storage once."""

    @property
    def exclusive_nbytes(self) -> int:
        """Of these, what nobody but the graph holds."""

class Graph:
    """A snapshot of a graph; see `libgrad.graph`."""

    @property
    def nodes(self) -> Sequence[GraphNode]: ...
    @property
    def edges(self) -> Sequence[GraphEdge]: ...
    @property
    def saved(self) -> Sequence[SavedTensor]: ...
    @property
    def storages(self) -> Sequence[GraphStorage]: ...
    @property
    def roots(self) -> Sequence[GraphRoot]: ...
    @property
    def leaves(self) -> Sequence[GraphNode]: ...
    @property
    def nbytes(self) -> int:
        """Of the storages of all saved tensors, each counted once."""

    @property
    def exclusive_nbytes(self) -> int:
        """Of these, what is free when the graph goes."""

    def __len__(self) -> int: ...
    def text(self, *, fold: bool = True, max_lines: int | None = 1000) -> str: ...
    def to_text(self, *, fold: bool = True, max_lines: int | None = 1000) -> str: ...
    def to_dot(
        self,
        *,
        fold: str = "auto",
        max_nodes: int = 2000,
        saved: str = "marks",
        title: str | None = None,
    ) -> str: ...
    def to_svg(
        self,
        *,
        fold: str = "auto",
        max_nodes: int = 2000,
        saved: str = "marks",
        title: str | None = None,
    ) -> str: ...
    def to_html(
        self,
        *,
        fold: str = "auto",
        max_nodes: int = 2000,
        saved: str = "marks",
        title: str | None = None,
    ) -> str: ...
    def to_json(self) -> str: ...
    def _repr_svg_(self) -> str: ...
    def diff(self, other: Graph) -> GraphDiff: ...
    def plan(self, *, retain_graph: bool = False) -> GraphPlan: ...
    def why(self, tensor: Tensor, *, max_paths: int = 10) -> GraphWhy: ...
    def unused(self, params: Params) -> UnusedParams: ...
    def holders(self) -> tuple[Holder, ...]: ...

class Record:
    """libgrad::Record."""

    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

def frames_can_be_read() -> bool: ...
def set_libraries(folders: Sequence[str]) -> None: ...
def number_of_module(path: str) -> int: ...
def set_module(number: int, /) -> int: ...
def with_graph(objects: list[Any]) -> list[Tensor | Node]: ...
def outermost(objects: list[Tensor | Node]) -> list[list[Tensor | Node]]: ...
def unused(graph: Graph, params: list[tuple[str, Tensor]]) -> UnusedParams: ...
def made_by(graph: Graph, objects: list[Tensor | Node]) -> list[Tensor | Node]: ...
def references_of_cpp(objects: list[Tensor | Node]) -> int: ...

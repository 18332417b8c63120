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
    def dtype(self) -> torch.dtype:
        """Its dtype."""

    @property
    def device(self) -> torch.device:
        """Its device."""

class GraphEdge:
    """Where a gradient goes: from an output of one node to an input of another."""

    @property
    def source(self) -> int:
        """The id of the node that computes the gradient."""

    @property
    def output(self) -> int:
        """The index of the gradient among those that `source` computes."""

    @property
    def target(self) -> int:
        """The id of the node that takes it."""

    @property
    def input(self) -> int:
        """The index of the gradient among those that `target` takes."""

class GraphRoot:
    """Where a gradient enters."""

    @property
    def node(self) -> int:
        """The id of the node that takes the gradient."""

    @property
    def input(self) -> int:
        """The index of the gradient among those that the node takes."""

class GraphStorage:
    """Memory that saved tensors lie in."""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""

    @property
    def device(self) -> torch.device:
        """Its device."""

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
    def hooks(self) -> bool:
        """True when hooks packed it."""

    @property
    def is_output(self) -> bool:
        """True for an output of the forward operation itself."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its sizes, -1 for a symbol; of a packed one, what the hook made of it."""

    @property
    def dtype(self) -> torch.dtype | None:
        """Its dtype; None where nothing is known of the tensor."""

    @property
    def device(self) -> torch.device | None:
        """Its device; None where nothing is known of the tensor."""

    @property
    def saved_version(self) -> int | None:
        """Its version when the node saved it."""

    @property
    def version(self) -> int | None:
        """Its version when the snapshot was taken."""

    @property
    def stale(self) -> bool:
        """True when it was changed in place since: backward will refuse."""

    @property
    def storage(self) -> int | None:
        """Its place in `Graph.storages`."""

    @property
    def offset(self) -> int:
        """The index of its first element in the storage."""

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
    def id(self) -> int:
        """Its index in `Graph.nodes`."""

    @property
    def name(self) -> str:
        """Its name: 'MulBackward0', 'AccumulateGrad', ..."""

    @property
    def kind(self) -> str:
        """'operator', 'leaf', 'view', 'function', 'python', 'compiled' or 'other'."""

    @property
    def op(self) -> str | None:
        """The operator that made it, 'aten::mul.Tensor'; recorded, or from its name."""

    @property
    def file(self) -> str | None:
        """The source file of the call that made it, where that was recorded."""

    @property
    def line(self) -> int | None:
        """The line of that call."""

    @property
    def module(self) -> str | None:
        """The module that made it, 'encoder.layers.3', where that was recorded."""

    @property
    def sequence_nr(self) -> int:
        """When it was made, counted on its thread."""

    @property
    def thread(self) -> int:
        """The number of the thread that made it."""

    @property
    def order(self) -> int:
        """When backward runs it, from 0."""

    @property
    def hooks(self) -> int:
        """The number of hooks that are registered on it."""

    @property
    def inputs(self) -> tuple[GraphInput | None, ...]:
        """The gradients that it takes; None for what was never made."""

    @property
    def next(self) -> tuple[tuple[int, int] | None, ...]:
        """Where its gradients go: the id of a node and its input."""

    @property
    def saved(self) -> Sequence[SavedTensor]:
        """The tensors that it saved."""

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
    def stream(self) -> str | None:
        """The stream that it runs on; None on the CPU."""

    @property
    def nbytes(self) -> int:
        """Of what it saved, each storage once."""

    @property
    def exclusive_nbytes(self) -> int:
        """Of these, what nobody but the graph holds."""

class Graph:
    """A snapshot of a graph; see `libgrad.graph`."""

    @property
    def nodes(self) -> Sequence[GraphNode]:
        """The nodes, breadth first from the roots; a place is an id."""

    @property
    def edges(self) -> Sequence[GraphEdge]:
        """The edges, those of a node one after the other."""

    @property
    def saved(self) -> Sequence[SavedTensor]:
        """The tensors that the nodes saved."""

    @property
    def storages(self) -> Sequence[GraphStorage]:
        """The memory that saved tensors lie in, each storage once."""

    @property
    def roots(self) -> Sequence[GraphRoot]:
        """Where gradients enter: one root for each tensor of the call."""

    @property
    def leaves(self) -> Sequence[GraphNode]:
        """The nodes that accumulate into leaves."""

    @property
    def nbytes(self) -> int:
        """Of the storages of all saved tensors, each counted once."""

    @property
    def exclusive_nbytes(self) -> int:
        """Of these, what is free when the graph goes."""

    def __len__(self) -> int: ...
    def to_text(self, *, fold: bool = True, max_lines: int | None = 1000) -> str:
        """Return the graph as a tree: roots on top, the bytes that nodes saved at the right.

        A node that is reached twice is drawn once. A long way down is drawn without steps to the
        right, and what is alike and follows each other is drawn once, with "×12".

        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> print(libgrad.graph((x * x.exp()).sum(), params={"x": x}).to_text())
        SumBackward0  float32 []
        └── MulBackward0  float32 [2]               16 B
            ├── AccumulateGrad  x: float32 [2]
            └── ExpBackward0  float32 [2]            8 B
                └── AccumulateGrad  x: float32 [2]
        <BLANKLINE>
        4 nodes, 3 saved tensors, 16 B (8 B exclusive)

        Args:
            fold: Draw what is alike once.
            max_lines: How many lines are drawn at most; what is left out is counted. None for all.

        Raises:
            TypeError: An option of another type.
            ValueError: `max_lines` is negative.
        """

    text = to_text
    def to_dot(
        self,
        *,
        fold: str = "auto",
        max_nodes: int = 2000,
        saved: str = "marks",
        title: str | None = None,
    ) -> str:
        """Return the graph in the language of Graphviz, whatever the names of its nodes and leaves.

        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> print(libgrad.graph(x.exp(), params={"x": x}).to_dot().splitlines()[6])
          n0 -> n1

        Args:
            fold: See `to_svg`.
            max_nodes: See `to_svg`.
            saved: See `to_svg`.
            title: What stands above the picture.

        Raises:
            TypeError: An option of another type.
            ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
        """

    def to_svg(
        self,
        *,
        fold: str = "auto",
        max_nodes: int = 2000,
        saved: str = "marks",
        title: str | None = None,
    ) -> str:
        """Return the graph as an SVG picture, laid out by libgrad: no other program is needed.

        Boxes have a node's name (a leaf's own), shape, dtype and the bytes it saved; a mark for
        each saved tensor is red when somebody wrote into that tensor since. A notebook shows this
        picture.

        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> libgrad.graph(x.exp(), params={"x": x}).to_svg()[:5]
        '<svg '

        Args:
            fold: What is drawn as one box: "none"; "repeats", parts of the graph that are alike and
                follow each other; "modules", the nodes of a module where modules were recorded, and
                modules that are alike. "auto" folds what has more than `max_nodes` nodes, by
                modules where they are known. The picture says what was folded.
            max_nodes: How many nodes "auto" draws without folding.
            saved: "marks" for a small square, "rows" for a line for each saved tensor, or "none".
            title: What stands above the picture.

        Raises:
            TypeError: An option of another type.
            ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
        """

    def to_html(
        self,
        *,
        fold: str = "auto",
        max_nodes: int = 2000,
        saved: str = "marks",
        title: str | None = None,
    ) -> str:
        """Return the graph as a page of HTML, all in one file, that asks no network for anything.

        It moves, zooms and searches, with the keyboard too; a click on a node shows its saved
        tensors, its neighbours, and the source line and module where these were recorded. A graph
        of up to `max_nodes` nodes is there as a whole and folded, a larger one folded; boxes that
        stand for many open.

        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> libgrad.graph(x.exp(), params={"x": x}).to_html()[:15]
        '<!DOCTYPE html>'

        Args:
            fold: See `to_svg`; "auto" folds by modules where they are known.
            max_nodes: How many nodes are drawn as a whole.
            saved: See `to_svg`.
            title: What stands above the picture.

        Raises:
            TypeError: An option of another type.
            ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
        """

    def to_json(self) -> str:
        """Return all that the snapshot holds as JSON, its keys always in the same order.

        The keys are the properties of the snapshot and its parts; edges stand at the node they
        leave. What is not known, and the ``sequence_nr`` of leaves, is null; an integer above 2^53
        is a string, since many readers would round it.

        >>> import json
        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> data = json.loads(libgrad.graph(x.exp(), params={"x": x}).to_json())
        >>> [node["name"] for node in data["nodes"]]
        ['ExpBackward0', 'AccumulateGrad']
        >>> data["nodes"][0]["edges"]
        [{'output': 0, 'to': 1, 'input': 0}]
        """

    def _repr_svg_(self) -> str: ...
    def diff(self, other: Graph) -> GraphDiff:
        """Return what changed from this graph to `other`, such as from one step to the next.

        Nodes go together by their names, modules and leaves' names, in the order of backward, so
        that as few as can be went or came. Of those that go together it is told which take or saved
        something else.

        >>> x = torch.ones(2, requires_grad=True)
        >>> before = libgrad.graph(x.exp().sum(), params={"x": x})
        >>> after = libgrad.graph((x.exp() + 1).sum(), params={"x": x})
        >>> print(before.diff(after))
        before: 3 nodes, 1 saved tensor, 8 B (8 B exclusive)
        after:  4 nodes, 1 saved tensor, 8 B (8 B exclusive)
        + AddBackward0  float32 [2]
        >>> before.diff(after).added
        [1]

        Returns:
            GraphDiff: `removed` and `added`, ids of nodes of this graph and of `other`; `changed`,
            with `before`, `after` (ids) and `what`; `nbytes`, what `other` saved more. It is false
            when nothing changed.

        Source: E. W. Myers, "An O(ND) difference algorithm and its variations", Algorithmica 1
        (1986).
        """

    def plan(self, *, retain_graph: bool = False) -> GraphPlan:
        """Return what backward from the roots of this graph will do: its order, and its memory.

        Nothing is computed. Of each node it is told what is freed once it has run (with
        `retain_graph` nothing), what the graph still holds, and the gradients that there are then:
        those on their way and the new ``.grad``s. Gradients count by their shapes, and once where
        they share memory, as after ``sum`` or ``view``.

        >>> x = torch.ones(1000, requires_grad=True)
        >>> plan = libgrad.graph(x.exp().sin().sum(), params={"x": x}).plan()
        >>> plan
        GraphPlan(4 steps, 4,000 bytes at the start, at most 12,004 in step 1)
        >>> plan[2]
        PlanStep(node=2, freed=4,000, held=0, gradients=4,004, peak=12,004)

        Its text is a table. The peak is a lower bound: work space inside of operators
        (convolutions, attention) is not known, and of the simplest ones alone temporaries are
        counted. What else could not be known is said in `notes`.

        Args:
            retain_graph: What the nodes saved is kept, as by ``backward(retain_graph=True)``.

        Returns:
            GraphPlan: a sequence of steps, with `start_nbytes`, `peak_nbytes`, `peak_step`,
            `notes`.

        Raises:
            RuntimeError: A backward has freed the graph.
        """

    def why(self, tensor: Tensor, *, max_paths: int = 10) -> GraphWhy:
        """Return why the graph needs a tensor: the paths from the roots to it.

        They end at the node that made it, or that accumulates into it when it is a leaf; a view
        counts as what it is a view of. Where no gradient comes to it, they end at the nodes that
        saved something in its memory. Of one length it is any of them first; all are counted, but
        only `max_paths` are made.

        >>> x = torch.ones(2, requires_grad=True)
        >>> why = libgrad.graph((x * x).sum(), params={"x": x}).why(x)
        >>> print(why)
        2 paths to 'x' (node 2), the shortest of 3 nodes:
          0   SumBackward0
          1   MulBackward0
          2   AccumulateGrad (x) ×2
        saved by node 1, MulBackward0 (other, self)
        >>> why.paths, why.total
        ([(0, 1, 2)], 2)

        Args:
            tensor: Any tensor: a leaf, one that was computed, a view, or one without gradient.
            max_paths: How many paths to make, at most.

        Returns:
            GraphWhy: `paths`, ids of nodes, the shortest path first; `total`, how many there are in
            all, by the edges they take; `saved`, the places in `Graph.saved` of what lies in the
            tensor's memory; `node`, that made it. It is false when the graph does not use the
            tensor, and a text as a string, which then says why not.

        Raises:
            TypeError: `tensor` is no tensor, or `max_paths` no int.
            ValueError: `max_paths` is less than 1.
        """

    def unused(self, params: Params) -> UnusedParams:
        """Return which of `params` get no gradient from this graph, and why.

        Only what can be known is told. The reasons, the first one that holds:

        - "frozen": `requires_grad` is False; "integer": its dtype has no gradient.
        - "not a leaf": it was computed, so it gets no `.grad`.
        - "overwritten": it is in the graph, but behind nodes that give zeros whatever arrives, such
          as those of `zero_`, `fill_`, `copy_` into it, `floor`, `round` and `sign`.
        - "shares memory": another leaf of the graph lies in its memory.
        - "cut": its values were used, but without gradient: `detach()`, `.data`, `no_grad()`.
        - "elsewhere": its AccumulateGrad is alive, but not in this graph.
        - "module not in graph": what was recorded has no node of the module that owns it.
        - "no trace": nothing in the graph shows a use of it.

        >>> layers = {"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 1)}
        >>> model = torch.nn.ModuleDict(layers)
        >>> hidden = model.body(torch.ones(1, 2))
        >>> loss = torch.nn.functional.linear(hidden, model.head.weight.detach()).sum()
        >>> [param.reason for param in libgrad.graph(loss).unused(model)]
        ['cut', 'no trace']

        `params` is a module, a dict of tensors, or pairs such as ``model.named_parameters()``. Not
        seen are a Function (or a compiled graph) that gives no gradient to one of its inputs, and a
        use without gradient in an operator that saves nothing, such as a sum.

        Returns:
            UnusedParams: A sequence of `UnusedParam` with `name`, `reason`, `node` (the id of the
            one that shows it, or None) and `text`, a sentence; empty when all get a gradient. Its
            `ends` are the tensors that came into the graph and get no gradient, by `node`, `saved`
            (a place in `Graph.saved`) and `text`. It is a report as a string.

        Raises:
            TypeError: `params` is none of these, or holds something that is not a tensor or a name.
        """

    def holders(self) -> tuple[Holder, ...]:
        """Return who keeps the graph of this snapshot, or a part of it, alive.

        First come names, then how many references of C++ there are to the end of what is still
        there: an edge of a larger graph is one.

        >>> x = torch.ones(3, requires_grad=True)
        >>> loss = x.exp().sum()
        >>> [str(holder) for holder in libgrad.graph(loss).holders()]
        ['loss (global of __main__)']
        """

class Record:
    """libgrad::Record."""

    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

def frames_can_be_read() -> bool:
    """Return whether frames are read without the GIL."""

def set_libraries(folders: Sequence[str]) -> None:
    """Look for the user's line outside of these folders."""

def number_of_module(path: str) -> int:
    """Return the number that `set_module` takes for a path."""

def set_module(number: int, /) -> int:
    """Say in which module this thread is; return the number before."""

def with_graph(objects: list[Any]) -> list[Tensor | Node]:
    """Return the tensors that an operator made, and the nodes of operators."""

def outermost(objects: list[Tensor | Node]) -> list[list[Tensor | Node]]:
    """Return those whose graph is in no other's, those of one node together."""

def unused(graph: Graph, params: list[tuple[str, Tensor]]) -> UnusedParams: ...
def made_by(graph: Graph, objects: list[Tensor | Node]) -> list[Tensor | Node]:
    """Return those of `objects` whose node is one of `graph`."""

def references_of_cpp(objects: list[Tensor | Node]) -> int:
    """Return how often C++ refers to tensors of one node, and to the node."""

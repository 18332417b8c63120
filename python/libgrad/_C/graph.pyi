"""Graph, and what is asked of graphs; both are in `_C`."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from .._graph.params import Params
from .._graph.referrers import Holder
from .parts import GraphEdge, GraphNode, GraphRoot, GraphStorage, SavedTensor
from .questions import GraphDiff, GraphPlan, GraphWhy, UnusedParams

class Graph:
    """A snapshot of a graph; see `libgrad.graph`."""

    @property
    def nodes(self) -> Sequence[GraphNode]:
        """The nodes, breadth first from the roots; the index of a node is its id."""

    @property
    def edges(self) -> Sequence[GraphEdge]:
        """The edges; those of one node follow each other."""

    @property
    def saved(self) -> Sequence[SavedTensor]:
        """The tensors that the nodes saved."""

    @property
    def storages(self) -> Sequence[GraphStorage]:
        """The storages of the saved tensors, each once."""

    @property
    def roots(self) -> Sequence[GraphRoot]:
        """The places where gradients enter: one for each tensor of the call."""

    @property
    def leaves(self) -> Sequence[GraphNode]:
        """The nodes that accumulate into leaves."""

    @property
    def nbytes(self) -> int:
        """The bytes of the storages of all saved tensors, each storage once."""

    @property
    def exclusive_nbytes(self) -> int:
        """The part of `nbytes` that is freed when the graph is freed."""

    def __len__(self) -> int: ...
    def to_text(self, *, fold: bool = True, max_lines: int | None = 1000) -> str:
        """Return the graph as a tree: roots on top, the bytes that nodes saved at the right.

        A node that is reached twice is drawn once. A long chain is drawn without indentation, and
        parts that are alike and follow each other are drawn once, with "×12".

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
            fold: Draw parts that are alike once.
            max_lines: The largest number of lines; the text says how many are left out. None for
                all lines.

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
        """Return the graph in the language of Graphviz; any names of nodes and leaves are escaped.

        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> print(libgrad.graph(x.exp(), params={"x": x}).to_dot().splitlines()[6])
          n0 -> n1

        Args:
            fold: See `to_svg`.
            max_nodes: See `to_svg`.
            saved: See `to_svg`.
            title: The title above the picture.

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

        A box shows a node's name (for a leaf, the leaf's name), shape, dtype and the bytes that the
        node saved. There is a mark for each saved tensor, red when the tensor was changed in place
        after it was saved. A notebook shows this picture.

        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> libgrad.graph(x.exp(), params={"x": x}).to_svg()[:5]
        '<svg '

        Args:
            fold: What is drawn as one box: "none"; "repeats", parts of the graph that are alike and
                follow each other; "modules", the nodes of a module where modules were recorded, and
                modules that are alike. "auto" folds graphs of more than `max_nodes` nodes, by
                modules where they are known. The picture says what was folded.
            max_nodes: The largest number of nodes that "auto" draws without folding.
            saved: "marks" for a small square, "rows" for a line for each saved tensor, or "none".
            title: The title above the picture.

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
        """Return the graph as a page of HTML in a single file that loads nothing from the network.

        The page can be panned, zoomed and searched, also with the keyboard. A click on a node shows
        its saved tensors, its neighbours, and its source line and module where these were recorded.
        A graph of up to `max_nodes` nodes is shown whole or folded, a larger one only folded. A box
        that stands for many nodes can be opened.

        >>> x = torch.tensor(1.0, requires_grad=True)
        >>> libgrad.graph(x.exp(), params={"x": x}).to_html()[:15]
        '<!DOCTYPE html>'

        Args:
            fold: See `to_svg`; "auto" folds by modules where they are known.
            max_nodes: The largest number of nodes that are drawn whole.
            saved: See `to_svg`.
            title: The title above the picture.

        Raises:
            TypeError: An option of another type.
            ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
        """

    def to_json(self) -> str:
        """Return all data of the snapshot as JSON, with its keys always in the same order.

        The keys are the properties of the snapshot and its parts; an edge is listed at the node
        that it leaves. Unknown values, and the ``sequence_nr`` of leaves, are null; an integer
        above 2^53 is a string, since many readers would round it.

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

        Nodes are matched by their names, their modules and the names of leaves, in the order of
        backward, so that as few nodes as possible are removed or added. A matched node counts as
        changed when its inputs or saved tensors differ.

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
            with `before`, `after` (ids) and `what`; `nbytes`, the bytes that `other` saved more. It
            is false when nothing changed.

        Source: E. W. Myers, "An O(ND) difference algorithm and its variations", Algorithmica 1
        (1986).
        """

    def plan(self, *, retain_graph: bool = False) -> GraphPlan:
        """Return what backward from the roots of this graph will do: its order, and its memory.

        Nothing is computed. Each step says which bytes are freed once its node has run (with
        `retain_graph` none), which bytes the graph still holds, and the bytes of the gradients that
        exist then: pending gradients and new ``.grad``s. Gradients count by their shapes, and once
        where they share memory, as after ``sum`` or ``view``.

        >>> x = torch.ones(1000, requires_grad=True)
        >>> plan = libgrad.graph(x.exp().sin().sum(), params={"x": x}).plan()
        >>> plan
        GraphPlan(4 steps, 4,000 bytes at the start, at most 12,004 in step 1)
        >>> plan[2]
        PlanStep(node=2, freed=4,000, held=0, gradients=4,004, peak=12,004)

        The text of a plan is a table. The peak is a lower bound: the work space of operators such
        as convolutions and attention is unknown, and temporaries are counted only for the simplest
        operators. `notes` lists what else was unknown.

        Args:
            retain_graph: Keep the saved tensors, as ``backward(retain_graph=True)`` does.

        Returns:
            GraphPlan: a sequence of steps, with `start_nbytes`, `peak_nbytes`, `peak_step`,
            `notes`.

        Raises:
            RuntimeError: A backward has freed the graph.
        """

    def why(self, tensor: Tensor, *, max_paths: int = 10) -> GraphWhy:
        """Return why the graph needs a tensor: the paths from the roots to it.

        The paths end at the node that made the tensor, or, for a leaf, at the node that accumulates
        into it; a view counts as its base. Where no gradient reaches the tensor, the paths end at
        the nodes that saved a tensor in its memory. Paths of the same length are in no particular
        order. All paths are counted, but at most `max_paths` are returned.

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
            tensor: Any tensor: a leaf, a computed tensor, a view, or a tensor without gradient.
            max_paths: The largest number of paths to return.

        Returns:
            GraphWhy: `paths`, ids of nodes, the shortest path first; `total`, the number of all
            paths, told apart by their edges; `saved`, the indices in `Graph.saved` of the saved
            tensors in the tensor's memory; `node`, the node that made the tensor. It is false when
            the graph does not use the tensor; its text then says why not.

        Raises:
            TypeError: `tensor` is no tensor, or `max_paths` no int.
            ValueError: `max_paths` is less than 1.
        """

    def unused(self, params: Params) -> UnusedParams:
        """Return which of `params` get no gradient from this graph, and why.

        Only reasons that the graph proves are given. They are, the first one that holds:

        - "frozen": `requires_grad` is False; "integer": the parameter's dtype has no gradient.
        - "not a leaf": the parameter was computed, so it gets no `.grad`.
        - "overwritten": the parameter is in the graph, but behind nodes that return zeros for any
          gradient, such as those of `zero_`, `fill_`, `copy_` into it, `floor`, `round` and `sign`.
        - "shares memory": another leaf of the graph lies in the parameter's memory.
        - "cut": its values were used, but without gradient: `detach()`, `.data`, `no_grad()`.
        - "elsewhere": its AccumulateGrad is alive, but not in this graph.
        - "module not in graph": the recorded nodes include none of the module that owns it.
        - "no trace": nothing in the graph shows a use of the parameter.

        >>> layers = {"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 1)}
        >>> model = torch.nn.ModuleDict(layers)
        >>> hidden = model.body(torch.ones(1, 2))
        >>> loss = torch.nn.functional.linear(hidden, model.head.weight.detach()).sum()
        >>> [param.reason for param in libgrad.graph(loss).unused(model)]
        ['cut', 'no trace']

        `params` is a module, a dict of tensors, or pairs such as ``model.named_parameters()``. Two
        cases are not detected: a Function (or a compiled graph) that gives no gradient to one of
        its inputs, and a use without gradient in an operator that saves nothing, such as a sum.

        Returns:
            UnusedParams: A sequence of `UnusedParam` with `name`, `reason`, `node` (the id of the
            node that shows the reason, or None) and `text`, a sentence; empty when all parameters
            get a gradient. Its `ends` are the tensors that entered the graph and get no gradient,
            by `node`, `saved` (an index in `Graph.saved`) and `text`. It is a report as a string.

        Raises:
            TypeError: `params` is none of these, or holds something that is not a tensor or a name.
        """

    def holders(self) -> tuple[Holder, ...]:
        """Return what keeps the graph of this snapshot, or a part of it, alive.

        First come names, then the number of C++ references to the outermost nodes of the part that
        is still alive. An edge of a larger graph is such a reference.

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
    """Return whether frames can be read without the GIL."""

def set_libraries(folders: Sequence[str]) -> None:
    """Look for the user's line only outside these folders."""

def number_of_module(path: str) -> int:
    """Return the number that `set_module` takes for the path of a module."""

def set_module(number: int, /) -> int:
    """Set the module that this thread is running; return the number of the one before."""

def with_graph(objects: list[Any]) -> list[Tensor | Node]:
    """Return the objects that are tensors made by an operator, or nodes of operators."""

def outermost(objects: list[Tensor | Node]) -> list[list[Tensor | Node]]:
    """Return the objects whose graph is inside no other's, grouped by their node."""

def unused(graph: Graph, params: list[tuple[str, Tensor]]) -> UnusedParams: ...
def made_by(graph: Graph, objects: list[Tensor | Node]) -> list[Tensor | Node]:
    """Return the objects whose node is a node of `graph`."""

def references_of_cpp(objects: list[Tensor | Node]) -> int:
    """Return the number of C++ references to one node and to `objects`, its tensors."""

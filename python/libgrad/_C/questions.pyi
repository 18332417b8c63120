"""What a Graph answers; the classes are in `_C`."""

from collections.abc import Iterator
from typing import overload

class ChangedNode:
    """A node of both graphs."""

    @property
    def before(self) -> int:
        """Its id in the first graph."""

    @property
    def after(self) -> int:
        """Its id in the other graph."""

    @property
    def what(self) -> str:
        """What is not the same: "float32 [2] -> float32 [3]"."""

class GraphDiff:
    """What changed; see `Graph.diff`. False when nothing did; a report as text."""

    @property
    def removed(self) -> list[int]:
        """Ids of nodes of the first graph."""

    @property
    def added(self) -> list[int]:
        """Ids of nodes of the other graph."""

    @property
    def changed(self) -> list[ChangedNode]:
        """The nodes of both that take or saved something else."""

    @property
    def nbytes(self) -> int:
        """What the other graph saved more."""

    def __bool__(self) -> bool: ...

class PlanStep:
    """A node that backward runs, and the memory then, in bytes."""

    @property
    def node(self) -> int:
        """The id of the node."""

    @property
    def freed(self) -> int:
        """Of what the graph held, once the node has run."""

    @property
    def held(self) -> int:
        """What the graph still holds then."""

    @property
    def gradients(self) -> int:
        """The gradients on their way then, and the new ``.grad``s."""

    @property
    def peak(self) -> int:
        """The most that both had while the node ran."""

class GraphPlan:
    """A dry run of backward, a sequence of steps; see `Graph.plan`. A table as text."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> PlanStep: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[PlanStep]: ...
    @property
    def start_nbytes(self) -> int:
        """Bytes that only the graph holds when backward starts."""

    @property
    def peak_nbytes(self) -> int:
        """The most that these and the gradients have at once."""

    @property
    def peak_step(self) -> int:
        """The index of the step that has the peak."""

    @property
    def notes(self) -> list[str]:
        """What was not known, and is not counted."""

class GraphWhy:
    """Why a graph needs a tensor; see `Graph.why`. False when it does not; a report as text."""

    @property
    def paths(self) -> list[tuple[int, ...]]:
        """Ids of nodes, the root first; the shortest path first."""

    @property
    def total(self) -> int:
        """How many paths there are, by the edges they take; at most 2**4096."""

    @property
    def exact(self) -> bool:
        """False when there are more than `total`."""

    @property
    def saved(self) -> list[int]:
        """Places in `Graph.saved` of what lies in the tensor's memory."""

    @property
    def node(self) -> int | None:
        """The id of the node that made the tensor, or accumulates into it."""

    def __bool__(self) -> bool: ...

class UnusedParam:
    """A parameter that gets no gradient."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def reason(self) -> str:
        """'frozen', 'cut', 'no trace', ...: see `Graph.unused`."""

    @property
    def node(self) -> int | None:
        """The id of the node that shows it."""

    @property
    def text(self) -> str:
        """The reason, in a sentence."""

class GraphEnd:
    """A tensor that came into the graph and gets no gradient."""

    @property
    def node(self) -> int:
        """The id of the node that took it."""

    @property
    def saved(self) -> int:
        """Its place in `Graph.saved`."""

    @property
    def text(self) -> str:
        """What it is, in a line."""

class UnusedParams:
    """Parameters without gradient, in a sequence; see `Graph.unused`. A report as text."""

    @property
    def ends(self) -> list[GraphEnd]:
        """The tensors that came into the graph and get no gradient."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[UnusedParam]: ...
    @overload
    def __getitem__(self, key: int) -> UnusedParam: ...
    @overload
    def __getitem__(self, key: slice) -> list[UnusedParam]: ...

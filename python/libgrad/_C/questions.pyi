"""The answers of a Graph's methods; the classes are in `_C`."""

from collections.abc import Iterator
from typing import overload

class ChangedNode:
    """A node of both graphs that is not the same in both."""

    @property
    def before(self) -> int:
        """The id of the node in the first graph."""

    @property
    def after(self) -> int:
        """The id of the node in the other graph."""

    @property
    def what(self) -> str:
        """The difference, such as "float32 [2] -> float32 [3]"."""

class GraphDiff:
    """What changed; see `Graph.diff`. False when nothing did; a report as text."""

    @property
    def removed(self) -> list[int]:
        """The ids of the first graph's nodes that the other graph has not."""

    @property
    def added(self) -> list[int]:
        """The ids of the other graph's nodes that the first graph has not."""

    @property
    def changed(self) -> list[ChangedNode]:
        """The nodes of both graphs whose inputs or saved tensors differ."""

    @property
    def nbytes(self) -> int:
        """The bytes that the other graph saved more."""

    def __bool__(self) -> bool: ...

class PlanStep:
    """A step of backward: the node that runs, and the memory in bytes."""

    @property
    def node(self) -> int:
        """The id of the node."""

    @property
    def freed(self) -> int:
        """The bytes of the graph that are freed once the node has run."""

    @property
    def held(self) -> int:
        """The bytes that the graph still holds after the step."""

    @property
    def gradients(self) -> int:
        """The bytes of pending gradients and of new ``.grad``s after the step."""

    @property
    def peak(self) -> int:
        """The most bytes that graph and gradients have while the node runs."""

class GraphPlan:
    """A dry run of backward, a sequence of steps; see `Graph.plan`. A table as text."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> PlanStep: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[PlanStep]: ...
    @property
    def start_nbytes(self) -> int:
        """The bytes that only the graph holds when backward starts."""

    @property
    def peak_nbytes(self) -> int:
        """The most bytes that the graph and the gradients have at once."""

    @property
    def peak_step(self) -> int:
        """The index of the step that has the peak."""

    @property
    def notes(self) -> list[str]:
        """What was unknown and is not counted."""

class GraphWhy:
    """Why a graph needs a tensor; see `Graph.why`. False when it does not; a report as text."""

    @property
    def paths(self) -> list[tuple[int, ...]]:
        """The paths as ids of nodes, from the root on; the shortest path first."""

    @property
    def total(self) -> int:
        """The number of all paths, told apart by their edges; at most 2**4096."""

    @property
    def exact(self) -> bool:
        """False when there are more than `total` paths."""

    @property
    def saved(self) -> list[int]:
        """The indices in `Graph.saved` of the saved tensors that lie in the tensor's memory."""

    @property
    def node(self) -> int | None:
        """The id of the node that made the tensor or accumulates into it."""

    def __bool__(self) -> bool: ...

class UnusedParam:
    """A parameter that gets no gradient."""

    @property
    def name(self) -> str:
        """The name of the parameter."""

    @property
    def reason(self) -> str:
        """'frozen', 'cut', 'no trace', ...: see `Graph.unused`."""

    @property
    def node(self) -> int | None:
        """The id of the node that shows the reason."""

    @property
    def text(self) -> str:
        """The reason, in a sentence."""

class GraphEnd:
    """A tensor that entered the graph and gets no gradient."""

    @property
    def node(self) -> int:
        """The id of the node that took the tensor."""

    @property
    def saved(self) -> int:
        """The index of the tensor in `Graph.saved`."""

    @property
    def text(self) -> str:
        """A description of the tensor, in a line."""

class UnusedParams:
    """Parameters without gradient, in a sequence; see `Graph.unused`. A report as text."""

    @property
    def ends(self) -> list[GraphEnd]:
        """The tensors that entered the graph and get no gradient."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[UnusedParam]: ...
    @overload
    def __getitem__(self, key: int) -> UnusedParam: ...
    @overload
    def __getitem__(self, key: slice) -> list[UnusedParam]: ...

"""The entries of a Graph, which are in `_C`."""

from collections.abc import Sequence

import torch

class GraphInput:
    """A gradient that a node takes."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The sizes of the gradient, -1 for a symbolic one; None for a nested tensor."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the gradient."""

    @property
    def device(self) -> torch.device:
        """The device of the gradient."""

class GraphEdge:
    """The way of a gradient: from an output of one node to an input of another."""

    @property
    def source(self) -> int:
        """The id of the node that computes the gradient."""

    @property
    def output(self) -> int:
        """The index of the gradient among those that `source` computes."""

    @property
    def target(self) -> int:
        """The id of the node that takes the gradient."""

    @property
    def input(self) -> int:
        """The index of the gradient among those that `target` takes."""

class GraphRoot:
    """A place where a gradient enters the graph."""

    @property
    def node(self) -> int:
        """The id of the node that takes the gradient."""

    @property
    def input(self) -> int:
        """The index of the gradient among those that the node takes."""

class GraphStorage:
    """A storage of saved tensors."""

    @property
    def nbytes(self) -> int:
        """The size of the storage in bytes."""

    @property
    def device(self) -> torch.device:
        """The device of the storage."""

    @property
    def owner(self) -> str:
        """What keeps the storage alive: 'graph' alone, a 'leaf', or something 'other'."""

class SavedTensor:
    """A tensor that a node saved."""

    @property
    def node(self) -> int:
        """The id of the node."""

    @property
    def field(self) -> str:
        """The node's name for the tensor: 'self', 'saved_tensors', 'ctx.name', ..."""

    @property
    def index(self) -> int | None:
        """The index of the tensor, where the field is a list."""

    @property
    def state(self) -> str:
        """'held', 'none', 'released' by a backward, or 'packed' by a hook."""

    @property
    def hooks(self) -> bool:
        """True when hooks packed the tensor."""

    @property
    def is_output(self) -> bool:
        """True for an output of the forward operation itself."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The sizes of the tensor, -1 for a symbolic one; those of what a hook packed it into."""

    @property
    def dtype(self) -> torch.dtype | None:
        """The dtype of the tensor; None where nothing is known about it."""

    @property
    def device(self) -> torch.device | None:
        """The device of the tensor; None where nothing is known about it."""

    @property
    def saved_version(self) -> int | None:
        """The version of the tensor when the node saved it."""

    @property
    def version(self) -> int | None:
        """The version of the tensor when the snapshot was taken."""

    @property
    def stale(self) -> bool:
        """True when the tensor was changed in place after it was saved: backward will raise."""

    @property
    def storage(self) -> int | None:
        """The index of the tensor's storage in `Graph.storages`."""

    @property
    def offset(self) -> int:
        """The index of the tensor's first element in the storage."""

    @property
    def nbytes(self) -> int:
        """The bytes of the tensor's own elements."""

    @property
    def leaf(self) -> int | None:
        """The id of the node of the leaf that the tensor is, or is a view of."""

    @property
    def label(self) -> str | None:
        """The name that `libgrad.name` gave the tensor."""

class GraphNode:
    """A node of a graph."""

    @property
    def id(self) -> int:
        """The index of the node in `Graph.nodes`."""

    @property
    def name(self) -> str:
        """The name of the node: 'MulBackward0', 'AccumulateGrad', ..."""

    @property
    def kind(self) -> str:
        """'operator', 'leaf', 'view', 'function', 'python', 'compiled' or 'other'."""

    @property
    def op(self) -> str | None:
        """The operator that made the node, such as 'aten::mul.Tensor'.

        It was recorded, or is derived from the node's name.
        """

    @property
    def file(self) -> str | None:
        """The source file of the call that made the node, where that was recorded."""

    @property
    def line(self) -> int | None:
        """The line of that call."""

    @property
    def module(self) -> str | None:
        """The module that made the node, such as 'encoder.layers.3', where that was recorded."""

    @property
    def sequence_nr(self) -> int:
        """The number of the node among those of its thread, in the order of creation."""

    @property
    def thread(self) -> int:
        """The number of the thread that made the node."""

    @property
    def order(self) -> int:
        """The position of the node in the order of backward, from 0."""

    @property
    def hooks(self) -> int:
        """The number of hooks that are registered on the node."""

    @property
    def inputs(self) -> tuple[GraphInput | None, ...]:
        """The gradients that the node takes; None for an output that was never made."""

    @property
    def next(self) -> tuple[tuple[int, int] | None, ...]:
        """The targets of the node's gradients: the id of a node and the index of its input."""

    @property
    def saved(self) -> Sequence[SavedTensor]:
        """The tensors that the node saved."""

    @property
    def leaf(self) -> str | None:
        """The name of the leaf, in `params` or by `libgrad.name`."""

    @property
    def label(self) -> str | None:
        """The names that `libgrad.name` gave the outputs of the operation."""

    @property
    def note(self) -> str | None:
        """What could not be read of the node, and why."""

    @property
    def stream(self) -> str | None:
        """The stream that the node runs on; None on the CPU."""

    @property
    def nbytes(self) -> int:
        """The bytes of the storages of the node's saved tensors, each storage once."""

    @property
    def exclusive_nbytes(self) -> int:
        """The part of `nbytes` that nothing but the graph holds."""

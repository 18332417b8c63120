"""What a doctor finds, and how it looks; the classes and functions are in `_C`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

class CallSite:
    """A call of an operator."""

    @property
    def op(self) -> str | None:
        """The operator, "aten::add_.Tensor"."""

    @property
    def file(self) -> str | None:
        """The file of the program's line that called it; None when it was not recorded."""

    @property
    def line(self) -> int | None:
        """The line in `file`."""

    @property
    def module(self) -> str | None:
        """The module that was running, "encoder.layers.3"."""

class FindingWrite:
    """An operator that wrote into a saved tensor."""

    @property
    def op(self) -> str | None:
        """The operator that wrote, 'aten::add_.Tensor'."""

    @property
    def file(self) -> str | None:
        """The source file of the call."""

    @property
    def line(self) -> int | None:
        """The line in `file`."""

    @property
    def module(self) -> str | None:
        """The module that called it."""

    @property
    def library(self) -> str | None:
        """What of torch the line called: "torch.nn.functional.relu"."""

    @property
    def before(self) -> int | None:
        """The tensor's version before the write; None for one that has none."""

    @property
    def after(self) -> int | None:
        """The version of the tensor after it."""

class Finding:
    """A saved tensor that is no more what it was."""

    @property
    def node(self) -> str:
        """The node that needs it, "ExpBackward0"."""

    @property
    def id(self) -> int:
        """The node's place in the nodes of `graph`."""

    @property
    def order(self) -> int:
        """When backward runs the node, from 0."""

    @property
    def field(self) -> str:
        """The node's word for the tensor, "result"."""

    @property
    def index(self) -> int | None:
        """Its place, where the field is a list."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the tensor."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the tensor."""

    @property
    def device(self) -> torch.device:
        """The device of the tensor."""

    @property
    def saved_version(self) -> int | None:
        """The version of the tensor when the node saved it."""

    @property
    def version(self) -> int | None:
        """The version that it has now."""

    @property
    def silent(self) -> bool:
        """True when its numbers have changed and its version has not."""

    @property
    def saved_by(self) -> CallSite:
        """The call that made the node."""

    @property
    def made_by(self) -> str | None:
        """The node that made the tensor."""

    @property
    def made_at(self) -> CallSite:
        """The call of that node; where there is none, the last that wrote to the tensor."""

    @property
    def is_leaf(self) -> bool:
        """True for a leaf, and for a view of one."""

    @property
    def leaf(self) -> str | None:
        """The leaf's name, where it has one."""

    @property
    def writes(self) -> tuple[FindingWrite, ...]:
        """Who wrote to it since, in the order of time."""

    @property
    def unseen(self) -> int:
        """How many writes nobody recorded."""

    @property
    def unchanged_at(self) -> CallSite:
        """Of a silent one: the last line where it was seen to be the same."""

    @property
    def changed_at(self) -> CallSite:
        """Of a silent one: the first line where it was seen to be another."""

    @property
    def advice(self) -> str:
        """What to do."""

class FrozenMemory:
    """Memory that nobody may write to."""

    def thaw(self) -> None: ...

class SpyScope:
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...

class ContentsScope:
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...

def diagnose(
    roots: tuple[Tensor | GradientEdge, ...], params: Sequence[tuple[str, Tensor]]
) -> list[Finding]: ...
def findings_text(findings: Sequence[Finding]) -> str: ...
def freeze(tensor: Tensor) -> FrozenMemory: ...
def pause_contents() -> None: ...
def put_first(findings: Sequence[Finding], error: str) -> list[Finding]: ...
def resume_contents() -> None: ...
def speaks_of_a_write(error: str) -> bool: ...
def watch_engine(watch: Callable[..., Any] | None) -> None: ...

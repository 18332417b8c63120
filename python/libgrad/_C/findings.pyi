"""The findings of a doctor, and the functions that look for them; all are in `_C`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

class CallSite:
    """A call of an operator."""

    @property
    def op(self) -> str | None:
        """The operator, such as "aten::add_.Tensor"."""

    @property
    def file(self) -> str | None:
        """The file of the program's line that made the call; None when it was not recorded."""

    @property
    def line(self) -> int | None:
        """The line in `file`."""

    @property
    def module(self) -> str | None:
        """The module that was running, such as "encoder.layers.3"."""

class FindingWrite:
    """An operator that wrote into a saved tensor."""

    @property
    def op(self) -> str | None:
        """The operator that wrote, such as 'aten::add_.Tensor'."""

    @property
    def file(self) -> str | None:
        """The source file of the call."""

    @property
    def line(self) -> int | None:
        """The line in `file`."""

    @property
    def module(self) -> str | None:
        """The module that was running."""

    @property
    def library(self) -> str | None:
        """The function of torch that the line called, such as "torch.nn.functional.relu"."""

    @property
    def before(self) -> int | None:
        """The tensor's version before the write; None where it has no version."""

    @property
    def after(self) -> int | None:
        """The tensor's version after the write."""

class Finding:
    """A saved tensor that was changed after it was saved."""

    @property
    def node(self) -> str:
        """The node that needs the tensor, such as "ExpBackward0"."""

    @property
    def id(self) -> int:
        """The node's index in the nodes of `graph`."""

    @property
    def order(self) -> int:
        """The position of the node in the order of backward, from 0."""

    @property
    def field(self) -> str:
        """The node's name for the tensor, such as "result"."""

    @property
    def index(self) -> int | None:
        """The index of the tensor, where the field is a list."""

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
        """The version of the tensor now."""

    @property
    def silent(self) -> bool:
        """True when the tensor's numbers have changed and its version has not."""

    @property
    def saved_by(self) -> CallSite:
        """The call that made the node."""

    @property
    def made_by(self) -> str | None:
        """The node that made the tensor."""

    @property
    def made_at(self) -> CallSite:
        """The call that made that node; where there is no node, the last write to the tensor."""

    @property
    def is_leaf(self) -> bool:
        """True for a leaf, and for a view of one."""

    @property
    def leaf(self) -> str | None:
        """The leaf's name, where it has one."""

    @property
    def writes(self) -> tuple[FindingWrite, ...]:
        """The writes to the tensor since it was saved, in the order of time."""

    @property
    def unseen(self) -> int:
        """The number of writes that were not recorded."""

    @property
    def unchanged_at(self) -> CallSite:
        """For a silent finding, the last call at which the tensor was seen unchanged."""

    @property
    def changed_at(self) -> CallSite:
        """For a silent finding, the first call at which the tensor was seen changed."""

    @property
    def advice(self) -> str:
        """What to do about the finding."""

class FrozenMemory:
    """Memory that no operator may write to."""

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

"""Hooks on saved tensors, and checkpoints, which are in `_C`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_Only = Callable[[str, Tensor], bool] | None

class CurrentOpScope:
    """libgrad::detail::CurrentOpScope."""

    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class NodeHookScope:
    """libgrad::NodeCreationHook of a callable."""

    def __init__(self, hook: Callable[[torch.autograd.graph.Node], Any]) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

def queue_callback(callback: Callable[[], Any]) -> None: ...

class PackedTensor:
    """libgrad::detail::HookedTensor."""

class PackHooks:
    """libgrad::PackHooks with its options, callable as a pack hook."""

    def __call__(self, tensor: Tensor) -> PackedTensor: ...
    @property
    def _checkpoint_internal(self) -> bool: ...
    @property
    def _user_hooks(self) -> tuple[Callable[..., Any], Callable[..., Any]] | None: ...

def hooks_on_stack() -> list[tuple[Callable[..., Any], Callable[..., Any]]]: ...
def unpack(packed: PackedTensor) -> Tensor: ...
def pack_hooks(
    pack: Callable[[Tensor], Any],
    unpack: Callable[[Any], Tensor],
    only: _Only,
    compose: bool,
) -> PackHooks: ...
def compress(dtype: torch.dtype, only: _Only, compose: bool) -> PackHooks: ...
def save_on_cpu(pin_memory: bool, only: _Only, compose: bool) -> PackHooks: ...
def name(tensor: Tensor, name: str) -> Tensor: ...
def checkpoint(
    forward: Callable[..., Any],
    again: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    preserve_rng_state: bool,
    determinism_check: bool,
    early_stop: bool,
    save: list[str],
    offload: list[str],
    respect_saved_tensors_hooks: bool,
) -> Any: ...
def checkpoint_optimal(
    functions: list[Callable[[Tensor], Tensor]],
    input: Tensor,
    slots: int,
    preserve_rng_state: bool,
) -> Tensor: ...
def checkpoint_in_budget(
    functions: list[Callable[[Tensor], Tensor]],
    input: Tensor,
    budget_bytes: int,
    costs: ChainCosts | None,
    preserve_rng_state: bool,
) -> Tensor: ...
def measure_chain(
    functions: list[Callable[[Tensor], Tensor]], input: Tensor, preserve_rng_state: bool
) -> ChainCosts: ...
def save_on_disk(path: str, only: _Only, compose: bool) -> PackHooks: ...

class ChainCosts:
    """What the functions of a chain cost: time, and bytes of memory.

    `libgrad.measure_chain` measures the costs. To construct them by hand, pass a list for each
    cost, with an entry for each function.

    >>> costs = libgrad.ChainCosts([1.0] * 4, [100] * 4, [300] * 4, output_bytes=100)
    >>> costs
    ChainCosts(4 functions, 4 s, from 700 to 1,800 bytes)
    >>> costs.runs(1500)
    (1, 1, 2, 1)

    Args:
        seconds: The time of one forward run.
        input_bytes: The bytes of the tensor that the function takes.
        saved_bytes: The bytes that the function's graph keeps for backward, besides the function's
            input, its output and parameters.
        output_bytes: The bytes of the last function's output.
        forward_bytes: The bytes that a forward run needs at its peak, besides all these. None
            stands for 0.
        backward_bytes: The bytes that the function's backward needs at its peak, besides the
            function's input, `saved_bytes`, and the gradients of output and input.
        pending_bytes: The bytes of the gradients, besides the output's, that exist when the
            function's backward first unpacks a saved tensor.
        saves_input: Whether the function's graph keeps its input. None stands for True.
        saves_output: Whether the function's graph keeps its output.
        constant_bytes: The bytes that functions keep besides these, from their first run on, such
            as the copies of weights that autocast makes.

    Raises:
        ValueError: Lists of different lengths, a cost that is negative or not finite.
    """

    def __init__(
        self,
        seconds: Sequence[float],
        input_bytes: Sequence[int],
        saved_bytes: Sequence[int],
        output_bytes: int,
        forward_bytes: Sequence[int] | None = None,
        backward_bytes: Sequence[int] | None = None,
        pending_bytes: Sequence[int] | None = None,
        saves_input: Sequence[bool] | None = None,
        saves_output: Sequence[bool] | None = None,
        constant_bytes: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    @property
    def seconds(self) -> tuple[float, ...]:
        """The time of one forward run of each function."""

    @property
    def input_bytes(self) -> tuple[int, ...]:
        """The bytes of the tensor that each function takes."""

    @property
    def saved_bytes(self) -> tuple[int, ...]:
        """The bytes that the graph of each function keeps."""

    @property
    def output_bytes(self) -> int:
        """The bytes of the last function's output."""

    @property
    def constant_bytes(self) -> int:
        """The bytes that functions keep from their first run on."""

    @property
    def forward_bytes(self) -> tuple[int, ...]:
        """The bytes of work space that a forward run of each function needs."""

    @property
    def backward_bytes(self) -> tuple[int, ...]:
        """The bytes of work space that the backward of each function needs."""

    @property
    def pending_bytes(self) -> tuple[int, ...]:
        """The bytes of other gradients that exist when the backward of each function starts."""

    @property
    def saves_input(self) -> tuple[bool, ...]:
        """Whether the graph of each function keeps its input."""

    @property
    def saves_output(self) -> tuple[bool, ...]:
        """Whether the graph of each function keeps its output."""

    @property
    def smallest_budget(self) -> int:
        """The smallest budget, in bytes, in which the chain can run."""

    @property
    def largest_budget(self) -> int:
        """The budget, in bytes, from which on no function runs twice."""

    def runs(self, budget_bytes: int) -> tuple[int, ...]:
        """Return how often each function runs forward within a budget."""

"""`checkpoint_optimal`: a chain with the best checkpoints for given memory; by libgrad/chain.h."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from .. import _C
from .._C import ChainCosts
from .._results import immutable
from .checkpoint import _functions

__all__ = ["ChainCosts", "checkpoint_optimal", "measure_chain"]

immutable(ChainCosts)

Functions = nn.Sequential | Sequence[Callable[[Tensor], Tensor]]


def checkpoint_optimal(
    functions: Functions,
    input: Tensor,
    *,
    slots: int | None = None,
    budget_bytes: int | None = None,
    costs: ChainCosts | None = None,
    preserve_rng_state: bool = True,
) -> Tensor:
    """Run `functions`, one after the other, with the best schedule of checkpoints for given memory.

    With `slots`, at most that many inputs of functions, besides `input`, are kept at a time, and
    the saved tensors of one function. Of all schedules for that memory this one has the fewest
    runs, if all functions take the same time: 64 functions run 264 times with 3 slots, 220 times
    with 5, 179 with 10, and 127 (each but the last twice) with 63.

    >>> model = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(16)])
    >>> x = torch.ones(2, 4, requires_grad=True)
    >>> y = libgrad.checkpoint_optimal(model, x, slots=3)
    >>> y.sum().backward()

    With `budget_bytes`, all memory that the chain allocates in forward and backward on the device
    of `input` stays within that many bytes: checkpoints, saved tensors, pending gradients, work
    space, and the output with its gradient, but not the ``.grad`` of parameters. Of all schedules
    of nested checkpoints that fit, this one takes the least time, by the functions' costs.

    >>> y = libgrad.checkpoint_optimal(model, x, budget_bytes=400)
    >>> costs = libgrad.measure_chain(model, x)  # once for many runs
    >>> y = libgrad.checkpoint_optimal(model, x, budget_bytes=400, costs=costs)
    >>> y.sum().backward()

    The budget holds if functions need as much memory as when they were measured, for a backward
    that does not keep the graph, and for tensors that hooks on saved tensors can see.

    Args:
        functions: A Sequential, or callables that each take a tensor and return one; with
            `budget_bytes` at most 200.
        input: The input of the first function.
        slots: The number of inputs to keep.
        budget_bytes: The memory that the chain may take.
        costs: The costs of the functions, for `budget_bytes`; None measures them in each call.
            Inside another checkpoint costs must be given: a rerun needs the same schedule.
        preserve_rng_state: As in `checkpoint`.

    Raises:
        RuntimeError: As `checkpoint`, and as `measure_chain`; more than 1,000 functions and no
            slot.
        TypeError: A function returned no tensor, or an argument has another type.
        ValueError: There is no function; `slots` is negative; `budget_bytes` is too small (the
            error says how much is needed); neither or both of the two are given; `costs` are of
            another number of functions, or are given without `budget_bytes`.

    Source: Griewank and Walther 2000, Algorithm 799: Revolve; Beaumont et al. 2019, Optimal
    checkpointing for heterogeneous chains: how to train deep neural networks with limited memory.
    """
    steps = _checked("checkpoint_optimal", functions, input)
    if (slots is None) == (budget_bytes is None):
        given = "neither" if slots is None else "both"
        raise ValueError(
            f"checkpoint_optimal: expected either slots or budget_bytes, but got {given}"
        )
    _check_int("slots", slots)
    _check_int("budget_bytes", budget_bytes)
    if costs is not None and not isinstance(costs, ChainCosts):
        raise TypeError(
            f"checkpoint_optimal: costs must be ChainCosts, but is {type(costs).__name__}"
        )
    if budget_bytes is not None:
        return _C.checkpoint_in_budget(steps, input, budget_bytes, costs, preserve_rng_state)
    assert slots is not None
    if costs is not None:
        raise ValueError("checkpoint_optimal: costs are for budget_bytes, but slots is given")
    if slots < 0:
        raise ValueError(f"checkpoint_optimal: slots must not be negative, but is {slots}")
    return _C.checkpoint_optimal(steps, input, slots, preserve_rng_state)


def measure_chain(
    functions: Functions, input: Tensor, *, preserve_rng_state: bool = True
) -> ChainCosts:
    """Return what each of `functions` costs; each takes what the one before it returns.

    Each function alone runs forward twice, the first time to warm up, and backward once. The
    program does not change: gradients are dropped, hooks on parameters are not called, and the
    random generators continue as if nothing had run. State that functions change themselves, such
    as the statistics of BatchNorm, changes here, too. Functions must not change their input.

    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Tanh(), torch.nn.Linear(64, 8))
    >>> costs = libgrad.measure_chain(model, torch.ones(2, 8, requires_grad=True))
    >>> costs.input_bytes, costs.output_bytes
    ((64, 512, 512), 64)
    >>> costs.saves_output
    (False, True, False)

    Args:
        functions: A Sequential, or callables that each take a tensor and return one.
        input: The input of the first function.
        preserve_rng_state: Restore the random generators of the CPU and of the device of `input`.

    Raises:
        RuntimeError: While a profiler is on, in inference mode, in a transform of torch.func.
        TypeError: A function returned no tensor, or an argument has another type.
        ValueError: There is no function.

    Source: Beaumont et al. 2019, Optimal checkpointing for heterogeneous chains.
    """
    return _C.measure_chain(_checked("measure_chain", functions, input), input, preserve_rng_state)


def _checked(caller: str, functions: Functions, input: Tensor) -> list[Callable[[Tensor], Tensor]]:
    """Return the functions as a list."""
    steps = _functions(caller, functions)
    if not steps:
        raise ValueError(f"{caller}: expected at least one function")
    if not isinstance(input, Tensor):
        raise TypeError(f"{caller}: input must be a tensor, but is {type(input).__name__}")
    return steps


def _check_int(name: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError(f"checkpoint_optimal: {name} must be int, but is {type(value).__name__}")
    if value is not None and value >= 2**63:
        raise ValueError(f"checkpoint_optimal: {name} must be less than 2**63, but is {value}")

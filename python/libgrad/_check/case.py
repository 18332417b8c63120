"""A function and its inputs, and the results of eager autograd that modes are compared with."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .compare import NotApplicable, Tolerance
from .inputs import differentiable, fresh, rebuild, tensors_in

__all__ = ["Case", "Options", "real_dot"]

LIMIT = 512  # Jacobians are computed row by row for functions with up to this many entries


@dataclass(frozen=True)
class Options:
    """The options of `check`, besides the function and its inputs."""

    reference: Callable[..., Any] | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    seed: int = 0
    exact: bool = True
    mutates: tuple[int, ...] = ()
    backends: tuple[Any, ...] = ()


def real_dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Return the real inner product of two lists of tensors."""
    total: Any = 0
    for x, y in zip(a, b, strict=True):
        total = total + ((x * y.conj()).real if x.is_complex() else x * y).sum()
    if isinstance(total, int):
        raise NotApplicable("there is no tensor to differentiate")
    return total  # type: ignore[no-any-return]


class Case:
    """The function as a function of tensors alone, with copies of the user's tensors."""

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Options,
    ) -> None:
        self.fn, self.args, self.kwargs, self.options = fn, args, kwargs, options
        found = tensors_in(args) + tensors_in(kwargs)
        self.names = [name for name, _ in found]
        self.tensors = [fresh(t) for _, t in found]
        self.diff_at = [i for i, t in enumerate(self.tensors) if differentiable(t)]
        self.diff = [self.tensors[i] for i in self.diff_at]
        self.mutated = [self._is_mutated(name) for name in self.names]

    def _is_mutated(self, name: str) -> bool:
        first = name.replace("[", ".").split(".")[0]
        return first.isdigit() and int(first) in self.options.mutates

    def copies(self) -> list[Tensor]:
        """Return fresh copies of all tensors of the inputs."""
        return [fresh(t) for t in self.tensors]

    def leaves(self) -> list[Tensor]:
        """Return fresh copies of the differentiable inputs, which require grad."""
        return [fresh(t).requires_grad_() for t in self.diff]

    def primals(self) -> list[Tensor]:
        """Return fresh copies of the differentiable inputs, which do not require grad."""
        return [fresh(t) for t in self.diff]

    def with_diff(self, diff: Sequence[Tensor]) -> list[Tensor]:
        """Return all tensors, with `diff` for the differentiable ones."""
        tensors = list(self.tensors)
        for i, t in zip(self.diff_at, diff, strict=True):
            tensors[i] = t
        return tensors

    def label_input(self, i: int) -> str:
        """Return the name of differentiable input `i`."""
        return f"input {self.names[self.diff_at[i]]}"

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of `fn`; tensors that it modifies in place are cloned."""
        if any(self.mutated):
            pairs = zip(tensors, self.mutated, strict=True)
            tensors = [t.clone() if mutated else t for t, mutated in pairs]
        return self.raw_arguments(tensors)

    def raw_arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the user's arguments with `tensors` in place of theirs."""
        return rebuild(self.args, self.kwargs, tensors)

    def outputs_of(self, result: Any, args: tuple[Any, ...] = ()) -> tuple[Tensor, ...]:
        """Return the tensors in the result of `fn`, or, if it has none, the tensors it modified."""
        found = [t for _, t in tensors_in(result)]
        if not found:
            found = [t for i in self.options.mutates for _, t in tensors_in(args[i])]
        if not found:
            raise TypeError(f"fn returned no tensor, but {type(result).__name__}")
        return tuple(found)

    def call(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Call `fn` with these tensors; return the tensors among its outputs."""
        args, kwargs = self.arguments(tensors)
        return self.outputs_of(self.fn(*args, **kwargs), args)

    def pure(self, *diff: Tensor) -> tuple[Tensor, ...]:
        """Return the differentiable outputs as a function of the differentiable inputs."""
        outputs = self.call(self.with_diff(diff))
        return tuple([outputs[i] for i in self.outputs_at])

    def scalar(self, *diff: Tensor) -> Tensor:
        """Return a real number made of all differentiable outputs, with random weights."""
        return real_dot(self.pure(*diff), self.weights)

    def cuda_devices(self) -> list[int]:
        """Return the indices of the CUDA devices that the inputs are on."""
        return sorted({t.device.index for t in self.tensors if t.is_cuda})

    def seed(self) -> None:
        """Seed the generators that `fn` may draw from: of the CPU and of the inputs' devices."""
        torch.default_generator.manual_seed(self.options.seed)
        for index in self.cuda_devices():
            torch.cuda.default_generators[index].manual_seed(self.options.seed)

    def random_like(self, tensors: Sequence[Tensor], stream: int) -> list[Tensor]:
        """Return random tensors like `tensors`; the same `stream` gives the same numbers."""
        generator = torch.Generator("cpu").manual_seed(self.options.seed * 1000 + stream)
        made = []
        for t in tensors:
            double = torch.complex128 if t.is_complex() else torch.float64
            r = torch.randn(t.shape, generator=generator, dtype=double, device="cpu")
            made.append(r.to(device=t.device, dtype=t.dtype))
        return made

    @cached_property
    def _eager(self) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        leaves = self.leaves()
        return self.call(self.with_diff(leaves)), leaves

    @cached_property
    def outputs(self) -> list[Tensor]:
        """The tensors that `fn` returns, detached."""
        return [t.detach().clone() for t in self._eager[0]]

    @cached_property
    def outputs_at(self) -> list[int]:
        """The indices of the outputs that require grad."""
        return [i for i, t in enumerate(self._eager[0]) if t.requires_grad and differentiable(t)]

    @cached_property
    def diff_outputs(self) -> list[Tensor]:
        """The outputs that require grad, detached."""
        return [self.outputs[i] for i in self.outputs_at]

    @cached_property
    def weights(self) -> list[Tensor]:
        """The random gradients that backward starts from."""
        return self.random_like(self.diff_outputs, 1)

    @cached_property
    def direction(self) -> list[Tensor]:
        """The random direction in which forward mode differentiates."""
        return self.random_like(self.diff, 2)

    @cached_property
    def found_grads(self) -> tuple[Tensor | None, ...]:
        """The gradients of `scalar` by eager reverse mode; None where there is no gradient."""
        self.need_outputs()
        leaves = self.leaves()
        found = torch.autograd.grad(
            self.pure(*leaves), leaves, [w.clone() for w in self.weights], allow_unused=True
        )
        return tuple(found)

    @cached_property
    def grads(self) -> list[Tensor]:
        """The gradients of `scalar`, with zeros for None."""
        return filled(self.found_grads, self.diff)

    def need_outputs(self) -> None:
        """Raise `NotApplicable` when there is nothing to differentiate."""
        if not self.diff:
            raise NotApplicable("no input is a floating-point or complex tensor")
        if not self.outputs_at:
            raise NotApplicable("no output requires grad")
        self.weights  # noqa: B018  # computed now, outside any transform

    def need_small(self, entries: int, what: str) -> None:
        """Raise `NotApplicable` when a Jacobian would be too large to compute row by row."""
        if entries > LIMIT:
            raise NotApplicable(f"{what} have {entries} entries; this row runs up to {LIMIT}")

    @cached_property
    def double(self) -> Case | None:
        """The same case in double precision, or None when `fn` does not support it."""
        if all(t.dtype in (torch.float64, torch.complex128) for t in self.diff):
            return self
        tensors = [
            t.to(torch.complex128 if t.is_complex() else torch.float64) if differentiable(t) else t
            for t in self.tensors
        ]
        fn = self.fn
        if isinstance(fn, torch.nn.Module):
            fn = copy.deepcopy(fn).double()
        args, kwargs = rebuild(self.args, self.kwargs, tensors)
        options = replace(self.options, reference=None)
        case = Case(fn, args, kwargs, options)
        try:
            wide = all(t.dtype in (torch.float64, torch.complex128) for t in case.diff_outputs)
            case.outputs_at  # noqa: B018  # runs the function
        except Exception as error:
            self.why_no_double = f"{type(error).__name__}: {first_line(error)}"
            return None
        if not wide:
            self.why_no_double = "its outputs stay in a lower precision"
            return None
        return case

    why_no_double = ""


def filled(grads: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients with zeros for None, detached."""
    pairs = zip(grads, like, strict=True)
    return [torch.zeros_like(t) if g is None else g.detach() for g, t in pairs]


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text that is not empty.

    Compilers wrap the original error: then its first line is added to the compiler's.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    first = lines[0]
    if first.endswith("raised:"):
        return " ".join(lines[:2])
    if met := re.search(r": got (\w+)\(([\"'])(.*)", str(error)):
        return f"{first}: {met[1]}: {met[3].split(chr(92) + 'n')[0].removesuffix(met[2] + ')')}"
    return first

"""The Functions of cpp/function/gallery.cpp, each beside the same function in Python operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

Tensors = tuple[torch.Tensor, ...]


class _Round(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad.clone()

    @staticmethod
    def jvp(ctx, tangent):
        return tangent.clone()


class _Pretend(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.round() * 2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * x * y

    @staticmethod
    def jvp(ctx, tangent):
        x, y = ctx.saved_tensors
        return tangent * x * y


class _Reverse(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return -grad

    @staticmethod
    def jvp(ctx, tangent):
        return -tangent


@dataclass(frozen=True)
class Case:
    """A bound Function as a function of `arity` tensors of one shape, and what it equals."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arity: int = 1
    exact: bool = True  # backward is the derivative of forward
    nested_jvp: bool = True  # torch itself can do forward mode in forward mode of `theirs`


def _everything(xs, bias):
    return (sum(xs) * 1.5 + 0.25 + bias).mean(0, True)


def cases(m: ModuleType) -> list[Case]:
    """Functions of vectors of float64."""
    return [
        Case("cube", m.cube, lambda x: x * x * x),
        Case("product", m.product, lambda x, w: x * w, 2),
        Case("pair", lambda x, w: m.pair(x, w, s=3), lambda x, w: (x * w * 3, x.sin() + w), 2),
        Case(
            "everything",
            lambda x, y, b: m.everything([x, y], b, [0], True, mode="mean", shift=0.25),
            lambda x, y, b: _everything([x, y], b),
            3,
        ),
        Case(
            "vector_sum",
            lambda x, y: m.vector_sum([x, y, x], 2.0),
            lambda x, y: x * 2 + y * 2 + x * 2,
            2,
        ),
        Case("round", m.round, _Round.apply, exact=False),
        Case("pretend", m.pretend, _Pretend.apply, exact=False, nested_jvp=False),
        Case("exp", m.exp, torch.exp),
        Case("sin_times", lambda x, w: m.sin_times(x, 2.0, w), lambda x, w: x.sin() * w * 2, 2),
        Case("sort", lambda x: m.sort(x)[0], lambda x: x.sort()[0]),
        Case("triple_", lambda x: m.triple_(x * 1), lambda x: (x * 1).mul_(3), nested_jvp=False),
        Case(
            "exp_into",
            lambda x, y: m.exp_into(y, x * 1),
            lambda x, y: (x * 1).add_(y).exp_(),
            2,
            nested_jvp=False,
        ),
        Case("transposed", lambda x: m.transposed(x[None] * 1)[:, 0], lambda x: x * 1),
        Case("reverse", m.reverse, _Reverse.apply, exact=False),
        Case("square", m.square, lambda x: x * x),
        Case("scaled", lambda x: m.scaled(x, {"a": 2.0, "b": 3.0}), lambda x: 6 * x),
        Case("kept", m.kept, lambda x, w: x * w * x.sin(), 2),
        Case("sparse", lambda x, w: m.sparse(x, w), lambda x, w: (2 * x, 3 * w), 2),
    ]


NAMES = [case.name for case in cases(type("names", (), {"__getattr__": lambda s, n: None})())]


def vectors(case: Case, *batch: int, size: int = 3) -> Tensors:
    """Inputs for `case`, each of shape (*batch, size)."""
    return tuple(torch.randn(*batch, size, dtype=torch.float64) for _ in range(case.arity))


def scalar(f: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """`f` summed up with weights, so that no two outputs or entries count alike."""

    def g(*args: Any) -> torch.Tensor:
        y = f(*args)
        total = torch.zeros((), dtype=torch.float64)
        for i, part in enumerate(y if isinstance(y, tuple) else (y,)):
            weights = torch.arange(1, part.numel() + 1, dtype=torch.float64).view(part.shape)
            total = total + (part.cos() * weights * (i + 1)).sum()
        return total

    return g

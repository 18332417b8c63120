"""The calls that functional.py measures: ours, and every way that torch has to the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import autograd, func, nn
from torch.nn.functional import linear

import libgrad

OURS = "libgrad"
LOOP_LIMIT = 100  # more rows than this are too slow one by one
Variants = dict[str, Callable[[], Any]]
ours, theirs = libgrad.functional, autograd.functional


def mixing(n: int, device: str) -> tuple[Callable[..., torch.Tensor], torch.Tensor, torch.Tensor]:
    w, b = torch.randn(n, n, device=device) / n, torch.randn(n, device=device)
    return (
        lambda x: torch.tanh(w @ x + b) * torch.sin(x),
        torch.randn(n, device=device),
        torch.randn(n, device=device),
    )


def jacobians(f: Callable[..., Any], x: Any, count: int) -> Variants:
    args = x if isinstance(x, tuple) else (x,)
    where: Any = tuple(range(len(args))) if isinstance(x, tuple) else 0
    variants = {
        OURS: lambda: ours.jacobian(f, x),
        "functional, vectorize": lambda: theirs.jacobian(f, x, vectorize=True),
        "functional, forward": lambda: theirs.jacobian(
            f, x, vectorize=True, strategy="forward-mode"
        ),
        "jacrev": lambda: func.jacrev(f, argnums=where)(*args),
        "jacfwd": lambda: func.jacfwd(f, argnums=where)(*args),
    }
    if count <= LOOP_LIMIT:
        variants["functional"] = lambda: theirs.jacobian(f, x)
    return variants


def hessians(f: Callable[..., Any], x: Any, count: int) -> Variants:
    args = x if isinstance(x, tuple) else (x,)
    where: Any = tuple(range(len(args))) if isinstance(x, tuple) else 0
    variants = {
        OURS: lambda: ours.hessian(f, x),
        "functional, vectorize": lambda: theirs.hessian(f, x, vectorize=True),
        "func.hessian": lambda: func.hessian(f, argnums=where)(*args),
        "jacrev(jacrev)": lambda: func.jacrev(func.jacrev(f, where), where)(*args),
    }
    if count <= LOOP_LIMIT:
        variants["functional"] = lambda: theirs.hessian(f, x)
    return variants


def square_cases(device: str) -> dict[str, Callable[[], Variants]]:
    cases: dict[str, Callable[[], Variants]] = {}
    for n in (8, 64, 512):

        def jacobian(n: int = n) -> Variants:
            f, x, _ = mixing(n, device)
            return jacobians(f, x, n)

        def hessian(n: int = n) -> Variants:
            f, x, _ = mixing(n, device)
            return hessians(lambda t: f(t).sum(), x, n)

        cases[f"J, n = {n}"], cases[f"H, n = {n}"] = jacobian, hessian
    for n in (8, 64):

        def vjp(n: int = n) -> Variants:
            f, x, v = mixing(n, device)
            return {
                OURS: lambda: ours.vjp(f, x, v),
                "functional": lambda: theirs.vjp(f, x, v),
                "func": lambda: func.vjp(f, x)[1](v),
            }

        def jvp(n: int = n) -> Variants:
            f, x, v = mixing(n, device)
            return {
                OURS: lambda: ours.jvp(f, x, v),
                "functional": lambda: theirs.jvp(f, x, v),
                "func": lambda: func.jvp(f, (x,), (v,)),
            }

        def hvp(n: int = n) -> Variants:
            f, x, v = mixing(n, device)

            def g(t: torch.Tensor) -> torch.Tensor:
                return f(t).sum()

            return {
                OURS: lambda: ours.hvp(g, x, v),
                "functional.vhp": lambda: theirs.vhp(g, x, v),
                "functional.hvp": lambda: theirs.hvp(g, x, v),
                "jvp(grad)": lambda: func.jvp(func.grad(g), (x,), (v,)),
            }

        cases[f"vjp, n = {n}"], cases[f"jvp, n = {n}"], cases[f"hvp, n = {n}"] = vjp, jvp, hvp
    return cases


def perceptron(device: str) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]:
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()).to(device)
    last = nn.Linear(32, 1).to(device)
    params = tuple(p.detach() for m in (model, last) for p in m.parameters())
    x = torch.randn(16, 8, device=device)

    def f(*p: torch.Tensor) -> torch.Tensor:
        return linear(torch.tanh(linear(torch.tanh(linear(x, *p[:2])), *p[2:4])), *p[4:])

    return f, params


def other_cases(device: str) -> dict[str, Callable[[], Variants]]:
    def between(rows: int, columns: int) -> Variants:
        w = torch.randn(rows, columns, device=device)
        return jacobians(lambda x: torch.tanh(w @ x), torch.randn(columns, device=device), rows)

    def parameters() -> Variants:
        f, params = perceptron(device)
        return jacobians(f, params, 16)

    def loss() -> Variants:
        f, params = perceptron(device)
        return hessians(lambda *p: f(*p).pow(2).sum(), params, 1377)

    def rosenbrock() -> Variants:
        return hessians(
            lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
            torch.randn(100, device=device),
            1000,
        )

    def transformer() -> Variants:
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0).to(device)
        return jacobians(layer, torch.randn(6, 1, 16, device=device), 96)

    return {
        "J, 4 to 512": lambda: between(512, 4),
        "J, 512 to 4": lambda: between(4, 512),
        "J of an MLP, 1,377 parameters": parameters,
        "H of its loss": loss,
        "H of Rosenbrock, n = 100": rosenbrock,
        "J of a transformer layer, 96 to 96": transformer,
    }

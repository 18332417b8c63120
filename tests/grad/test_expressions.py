"""Expressions that hypothesis makes up: the same gradients as torch's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.parity import assert_same
from torch import Tensor

import libgrad

OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - 2 * b,
    lambda a, b: a / (1 + b * b),
    lambda a, b: torch.sin(a),
    lambda a, b: torch.tanh(a) * b,
    lambda a, b: a @ b.t() @ b,
    lambda a, b: torch.where(a > b, a, b * b),
    lambda a, b: torch.cat([a, b], 1)[:, 1:4],
    lambda a, b: a.softmax(1),
    lambda a, b: a.expand(2, *a.shape).sum(0),
    lambda a, b: torch.stack(a.unbind(1), 1) * b.mean(),
    lambda a, b: a.clone().mul_(b),
    lambda a, b: torch.relu(a).detach() + b,
    lambda a, b: a.clone().index_put_((torch.tensor([0]),), b[1]),
)

steps = st.tuples(
    st.integers(0, len(OPERATIONS) - 1), st.integers(0, 20), st.integers(0, 20)
)  # operation, and two of the values so far
programs = st.lists(steps, min_size=1, max_size=12)


def run(program: list[tuple[int, int, int]], leaves: list[Tensor]) -> Tensor:
    values = list(leaves)
    for operation, i, j in program:
        values.append(OPERATIONS[operation](values[i % len(values)], values[j % len(values)]))
    return values[-1].sum() + (values[0] ** 2 * values[1]).sum()


def make_leaves(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, generator=generator).requires_grad_() for _ in range(3)]


@settings(max_examples=150, deadline=None)
@given(program=programs, seed=st.integers(0, 100), create_graph=st.booleans())
def test_grad_of_any_expression(program: list, seed: int, create_graph: bool) -> None:
    ours, theirs = make_leaves(seed), make_leaves(seed)
    options = {"create_graph": create_graph, "allow_unused": True}
    assert_same(
        libgrad.grad(run(program, ours), ours, **options),
        torch.autograd.grad(run(program, theirs), theirs, **options),
    )


@settings(max_examples=100, deadline=None)
@given(program=programs, seed=st.integers(0, 100))
def test_backward_of_any_expression_twice(program: list, seed: int) -> None:
    ours, theirs = make_leaves(seed), make_leaves(seed)
    for api, leaves in ((libgrad, ours), (torch.autograd, theirs)):
        y = run(program, leaves)
        api.backward(y, retain_graph=True)
        api.backward(y)
    assert_same([x.grad for x in ours], [x.grad for x in theirs])


@settings(max_examples=60, deadline=None)
@given(program=programs, seed=st.integers(0, 100))
def test_second_derivative_of_any_expression(program: list, seed: int) -> None:
    def second(api: object, leaves: list[Tensor]) -> tuple[Tensor, ...]:
        first = api.grad(run(program, leaves), leaves, create_graph=True, materialize_grads=True)
        total = sum((g * g).sum() for g in first)
        return api.grad(total, leaves, materialize_grads=True)

    assert_same(second(libgrad, make_leaves(seed)), second(torch.autograd, make_leaves(seed)))

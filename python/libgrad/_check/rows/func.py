"""Rows of the group "func": the transforms of torch.func, against eager reverse mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..case import Case
from ..compare import compare
from ..numeric import analytic_jacobian, compare_jacobian, flat_function, real_flat
from ..registry import row
from .autograd import diff_output, gradient_label
from .forward import tangents_by_reverse, tangents_must_be

__all__ = ["argnums", "flat_hessian", "flat_jacobian", "grads_must_be"]


def argnums(case: Case) -> tuple[int, ...]:
    """Return the positions of the differentiable inputs among the arguments of `case.pure`."""
    case.need_outputs()
    return tuple(range(len(case.diff)))


def grads_must_be(case: Case, got: tuple[Tensor, ...]) -> None:
    """Compare with the gradients that eager backward gives."""
    label = lambda i: gradient_label(case, i)
    compare([g.detach() for g in got], case.grads, label, case.options.tolerance)


def outputs_must_be(case: Case, got: tuple[Tensor, ...]) -> None:
    """Compare with the differentiable outputs of the eager run."""
    label = lambda i: diff_output(case, i)
    compare([y.detach() for y in got], case.diff_outputs, label, case.options.tolerance)


@row("grad", "func")
def grad(case: Case) -> None:
    """Run torch.func.grad, against eager backward."""
    got = torch.func.grad(case.scalar, argnums(case))(*case.primals())
    grads_must_be(case, got)


@row("grad_and_value", "func")
def grad_and_value(case: Case) -> None:
    """Run torch.func.grad_and_value, against eager backward and its value."""
    transformed: Any = torch.func.grad_and_value(case.scalar, argnums(case))
    got, value = transformed(*case.primals())
    grads_must_be(case, got)
    with torch.no_grad():
        expected = case.scalar(*case.primals())
    compare([value.detach()], [expected], lambda _: "value", case.options.tolerance)


@row("vjp", "func")
def vjp(case: Case) -> None:
    """Run torch.func.vjp, against eager backward."""
    case.need_outputs()
    found: Any = torch.func.vjp(case.pure, *case.primals())
    outputs, pull = found
    outputs_must_be(case, outputs)
    grads_must_be(case, pull(tuple(w.clone() for w in case.weights)))


@row("jvp", "func")
def jvp(case: Case) -> None:
    """Run torch.func.jvp, against J v by reverse mode."""
    expected = tangents_by_reverse(case)
    found: Any = torch.func.jvp(case.pure, tuple(case.primals()), tuple(case.direction))
    outputs, tangents = found
    tangents_must_be(case, tangents, expected)
    outputs_must_be(case, outputs)


@row("linearize", "func")
def linearize(case: Case) -> None:
    """Run torch.func.linearize, against J v by reverse mode."""
    expected = tangents_by_reverse(case)
    outputs, push = torch.func.linearize(case.pure, *case.primals())
    tangents_must_be(case, push(*case.direction), expected)
    outputs_must_be(case, outputs)


def flat_jacobian(case: Case) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Return the flat function, its flat input, and its Jacobian by eager reverse mode."""
    case.need_outputs()
    case.need_small(sum(t.numel() for t in [*case.diff, *case.diff_outputs]), "in- and outputs")
    flat, z = flat_function(case.pure, case.primals()), real_flat(case.diff)
    return flat, z, analytic_jacobian(flat, z)


def flat_hessian(case: Case) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Return a flat scalar function, its flat input, and its Hessian by double backward."""
    case.need_outputs()
    case.need_small(sum(t.numel() for t in case.diff), "inputs")
    flat = flat_function(lambda *diff: [case.scalar(*diff)], case.primals())
    z = real_flat(case.diff)

    def gradient(at: Tensor) -> Tensor:
        (g,) = torch.autograd.grad(flat(at)[0], at, create_graph=True)
        return g

    return lambda at: flat(at)[0], z, analytic_jacobian(gradient, z)


def jacobian_must_be(case: Case, got: Tensor, expected: Tensor) -> None:
    """Compare a flat Jacobian."""
    labels = (lambda i: diff_output(case, i), case.label_input)
    tolerance = case.options.tolerance
    compare_jacobian(got.detach(), expected, case.diff_outputs, case.diff, labels, tolerance)


@row("jacrev", "func")
def jacrev(case: Case) -> None:
    """Run torch.func.jacrev, against eager backward, row by row."""
    flat, z, expected = flat_jacobian(case)
    jacobian_must_be(case, torch.func.jacrev(flat)(z.clone()), expected)


@row("jacfwd", "func")
def jacfwd(case: Case) -> None:
    """Run torch.func.jacfwd, against eager backward, row by row."""
    flat, z, expected = flat_jacobian(case)
    jacobian_must_be(case, torch.func.jacfwd(flat)(z.clone()), expected)


def hessian_must_be(case: Case, got: Tensor, expected: Tensor) -> None:
    """Compare a flat Hessian."""
    labels = (lambda i: gradient_label(case, i), case.label_input)
    compare_jacobian(got.detach(), expected, case.diff, case.diff, labels, case.options.tolerance)


@row("hessian", "func")
def hessian(case: Case) -> None:
    """Run torch.func.hessian (forward over reverse), against double backward."""
    flat, z, expected = flat_hessian(case)
    hessian_must_be(case, torch.func.hessian(flat)(z.clone()), expected)


@row("jacrev(jacrev)", "func")
def jacrev_of_jacrev(case: Case) -> None:
    """Run jacrev twice, against double backward."""
    flat, z, expected = flat_hessian(case)
    hessian_must_be(case, torch.func.jacrev(torch.func.jacrev(flat))(z.clone()), expected)


@row("jacfwd(jacfwd)", "func")
def jacfwd_of_jacfwd(case: Case) -> None:
    """Run jacfwd twice, against double backward."""
    flat, z, expected = flat_hessian(case)
    hessian_must_be(case, torch.func.jacfwd(torch.func.jacfwd(flat))(z.clone()), expected)

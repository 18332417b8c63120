"""Derivatives of functions: products, matrices, operators, by csrc/libgrad/functional.h."""

from __future__ import annotations

from ._C import functional as _functional
from ._functional.linear import LinearOperator, hessian_operator, jacobian_operator

__all__ = [
    "LinearOperator",
    "hessian",
    "hessian_operator",
    "hvp",
    "jacobian",
    "jacobian_operator",
    "jvp",
    "value_and_grad",
    "vhp",
    "vjp",
]

hessian = _functional.hessian  # types and documentation are in functional.pyi
hvp = _functional.hvp
jacobian = _functional.jacobian
jvp = _functional.jvp
value_and_grad = _functional.value_and_grad
vhp = _functional.vhp
vjp = _functional.vjp

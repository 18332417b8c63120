"""PyTorch's own database of operators: the gradients that torch.autograd.grad gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.parity import assert_same, outcome
from torch import Tensor

import libgrad

common = pytest.importorskip(
    "torch.testing._internal.common_methods_invocations",
    reason="torch's test data needs expecttest",
)

OPERATORS = [
    op
    for op in common.op_db
    if op.supports_autograd
    and torch.float64 in op.supported_dtypes("cpu")
    and not op.name.startswith("_refs")
]


def differentiable(value: Any) -> list[Tensor]:
    """The tensors in a result that have a gradient."""
    leaves = torch.utils._pytree.tree_leaves(value)
    return [t for t in leaves if isinstance(t, Tensor) and t.requires_grad]


@pytest.mark.filterwarnings("ignore")  # operators warn about themselves
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.formatted_name)
def test_operator(op: Any) -> None:
    compared = 0
    for sample in list(op.sample_inputs("cpu", torch.float64, requires_grad=True))[:3]:
        inputs = differentiable((sample.input, sample.args, sample.kwargs))
        inputs = [x for x in inputs if x.is_leaf]
        torch.manual_seed(1)
        value, error, _ = outcome(lambda: op(sample.input, *sample.args, **sample.kwargs))
        outputs = differentiable(value)
        if error or not inputs or not outputs:
            continue
        seeds = [torch.randn(y.shape, dtype=y.dtype) for y in outputs]

        def gradients(api: Any) -> Any:
            return api.grad(outputs, inputs, seeds, retain_graph=True, allow_unused=True)

        theirs, expected, _ = outcome(lambda: gradients(torch.autograd))
        ours, raised, message = outcome(lambda: gradients(libgrad))
        assert raised is expected, message
        if expected is None:
            assert_same(ours, theirs)
        compared += 1
    if not compared:
        pytest.skip("no sample of this operator has a gradient here")

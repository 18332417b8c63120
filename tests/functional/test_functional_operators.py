"""Jacobians of layers and operators by batches, against the loop; and rules known to be wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from libgrad import functional

# torch's own fallback inside a batch, for operators that have no rule
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (2, 4)),
    "bilinear": (lambda: _Pair(nn.Bilinear(4, 4, 2)), (2, 4)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 3, padding=1), (1, 2, 6)),
    "conv2d": (lambda: nn.Conv2d(2, 3, 3, stride=2), (1, 2, 7, 7)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (1, 1, 3, 3, 3)),
    "transposed convolution": (lambda: nn.ConvTranspose2d(2, 1, 3), (1, 2, 4, 4)),
    "grouped convolution": (lambda: nn.Conv2d(4, 4, 3, groups=2), (1, 4, 4, 4)),
    "max pool": (lambda: nn.MaxPool2d(2), (1, 2, 4, 4)),
    "average pool": (lambda: nn.AvgPool2d(2), (1, 2, 4, 4)),
    "adaptive pool": (lambda: nn.AdaptiveAvgPool2d(2), (1, 2, 5, 5)),
    "batch norm": (lambda: nn.BatchNorm1d(4), (5, 4)),
    "batch norm in eval": (lambda: nn.BatchNorm1d(4).eval(), (5, 4)),
    "layer norm": (lambda: nn.LayerNorm(4), (3, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3)),
    "instance norm": (lambda: nn.InstanceNorm1d(2), (2, 2, 5)),
    "RMS norm": (lambda: nn.RMSNorm(4), (3, 4)),
    "LSTM": (lambda: _First(nn.LSTM(3, 4)), (4, 2, 3)),
    "GRU": (lambda: _First(nn.GRU(3, 4)), (4, 2, 3)),
    "RNN": (lambda: _First(nn.RNN(3, 4)), (4, 2, 3)),
    "attention": (lambda: _Attention(), (3, 2, 4)),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), (3, 2, 4)),
    "softmax": (lambda: nn.Softmax(-1), (2, 4)),
    "log softmax": (lambda: nn.LogSoftmax(-1), (2, 4)),
    "GELU": (lambda: nn.GELU(), (2, 4)),
    "SiLU": (lambda: nn.SiLU(), (2, 4)),
    "PReLU": (lambda: nn.PReLU(), (2, 4)),
    "GLU": (lambda: nn.GLU(), (2, 4)),
    "upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 1, 3, 3)),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (1, 4, 2, 2)),
    "cosine similarity": (lambda: _Pair(nn.CosineSimilarity()), (2, 4)),
}
OPERATORS = {
    "matmul": lambda x: x @ x.mT,
    "einsum": lambda x: torch.einsum("ij,kj->ik", x, x.sin()),
    "index": lambda x: x[[0, 2, 0]] * x[1],
    "scatter": lambda x: torch.zeros(3, 4, dtype=x.dtype).scatter(0, torch.ones_like(x).long(), x),
    "gather": lambda x: x.gather(1, torch.tensor([[0, 1], [3, 2], [1, 1]])),
    "sort": lambda x: x.sort(-1).values * x.topk(4).values,
    "cumulative product": lambda x: x.cumprod(-1),
    "svd": lambda x: torch.linalg.svd(x, full_matrices=False)[1],
    "solve": lambda x: torch.linalg.solve(x @ x.mT + torch.eye(3, dtype=x.dtype), x),
    "fft": lambda x: torch.fft.rfft(x).abs(),
    "views written to": lambda x: _write(x),
    "where": lambda x: torch.where(x > 0, x.exp(), x * x),
    "cross entropy": lambda x: F.cross_entropy(x, torch.tensor([0, 3, 1]), reduction="none"),
    "checkpoint": lambda x: torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=False),
    "norm of zero": lambda x: (x - x.detach()).norm(dim=-1),
}


class _First(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[0]


class _Pair(_First):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x, x.cos())


class _Attention(_First):
    def __init__(self) -> None:
        super().__init__(nn.MultiheadAttention(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x, x, x)[0]


def _write(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y[0] = x[1] * x[2]
    y[:, 1].mul_(x[:, 0])
    return y


@pytest.mark.parametrize("layer", LAYERS)
def test_batched_jacobian_of_a_layer_is_that_of_the_loop(layer):
    make, shape = LAYERS[layer]
    module = make().double()
    x = torch.randn(shape, dtype=torch.float64)
    params = dict(module.named_parameters())

    def f(x, params):
        return torch.func.functional_call(module, params, (x,))

    batched = functional.jacobian(f, (x, params), vectorize=True, check=True)
    assert_close(batched, functional.jacobian(f, (x, params), vectorize=False))


@pytest.mark.parametrize("name", OPERATORS)
def test_batched_jacobian_of_an_operator_is_that_of_the_loop(name):
    x = torch.randn(3, 4, dtype=torch.float64)
    batched = functional.jacobian(OPERATORS[name], x, vectorize=True, check=True)
    assert_close(batched, functional.jacobian(OPERATORS[name], x, vectorize=False))


WRONG = {
    "CdistBackward0": lambda x: torch.cdist(x, x.detach() + 1),
    "AsStridedScatterBackward0": lambda x: torch.as_strided_scatter(
        x[:3, :3] * 2, x[:2, :2] * 3, (2, 2), (1, 2)
    ),
}


@pytest.fixture
def warn_always():
    """Warnings that were given before, too."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("warn_always")
@pytest.mark.parametrize("node", WRONG)
def test_rules_known_to_be_wrong_are_not_used(node):
    x = torch.randn(3, 4, dtype=torch.float64)
    with pytest.warns(UserWarning, match=f"the batching rule of {node} is wrong"):
        matrix = functional.jacobian(WRONG[node], x, vectorize=True)
    assert_close(matrix, functional.jacobian(WRONG[node], x, vectorize=False))


def test_rule_known_to_be_wrong_still_is():
    # that of as_strided_scatter is wrong from time to time: nothing to assert
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = WRONG["CdistBackward0"](x)
    units = torch.eye(y.numel(), dtype=y.dtype).view(-1, *y.shape)
    rows = torch.func.vmap(lambda u: torch.autograd.grad(y, x, u, retain_graph=True)[0])(units)
    right = functional.jacobian(WRONG["CdistBackward0"], x.detach(), vectorize=False)
    assert not torch.allclose(rows.view_as(right), right), "take CdistBackward0 off the list"

"""A kernel that reads memory, where there is none: an error that says what to do."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import libgrad

ADVICE = r"(?s)RawSquare: it reads the memory of a tensor.*libgrad::def_kernel<function, fake>"


pytestmark = pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")


@pytest.fixture(scope="module")
def m(gallery_module):
    return gallery_module


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, dtype=torch.float64)


def test_vmap(m, x):
    with pytest.raises(RuntimeError, match=ADVICE):
        torch.func.vmap(m.raw_square)(x[None])


def test_fake_tensors(m, x):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(x)
        with pytest.raises(RuntimeError, match=ADVICE):
            m.raw_square(fake)
        with pytest.raises(RuntimeError, match=ADVICE):
            torch.ops.gallery.raw_square(fake)


def test_compile_and_export(m, x):
    with pytest.raises(Exception, match=ADVICE):
        torch.compile(m.raw_square, backend="eager", fullgraph=True)(x)

    class Module(torch.nn.Module):
        def forward(self, x):
            return m.raw_square(x)

    with pytest.raises(Exception, match=ADVICE):
        torch.export.export(Module(), (x,))


def test_linearize_and_make_fx_which_would_silently_lose_it(m, x):
    with pytest.raises(RuntimeError, match=ADVICE):
        torch.func.linearize(m.raw_square, x)
    with pytest.raises(RuntimeError, match=ADVICE):
        make_fx(m.raw_square)(x)


def test_linearize_and_make_fx_take_the_kernel_behind_an_operator(m, x):
    value, push = torch.func.linearize(m.square, x)
    assert torch.equal(value, x * x)
    assert torch.equal(push(x), 2 * x * x)
    assert torch.equal(make_fx(m.square)(x)(x + 1), (x + 1) ** 2)


def test_linearize_of_what_cannot_be_pushed_forward_says_so(m, x):
    with pytest.raises(NotImplementedError, match="Share: forward mode needs"):
        torch.func.linearize(lambda x: m.share(x, "all"), x)


def test_check_tells_it_too(m, x):
    """Behind what the compiler says of the error that it met."""
    report = libgrad.check(m.raw_square, x.requires_grad_(), only=["compile"], backends=["eager"])
    for row in report:
        assert row.detail.startswith(("TorchRuntimeError: ", "Unsupported: "))  # as torch's version
        assert ": RuntimeError: RawSquare: it reads the memory" in row.detail
        assert "\n" not in row.detail

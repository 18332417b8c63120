"""Every project in examples/, built from the installed package and run."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from support.builds import PROJECTS
from support.consumer import load, run
from support.paths import EXAMPLES
from torch.autograd import gradcheck, gradgradcheck

EXPECTED = Path(__file__).parent / "expected"


def test_custom_function_is_softplus(built):
    softplus = load("softplus", built["custom_function"]).softplus
    x = torch.tensor([-1000.0, -2.0, 0.0, 3.0, 1000.0], dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.softplus(x, beta=2)
    torch.testing.assert_close(softplus(x, beta=2), expected)
    dx, theirs = (torch.autograd.grad(y.sum(), x)[0] for y in (softplus(x, 2.0), expected))
    torch.testing.assert_close(dx, theirs)
    inner = x[1:4].detach().requires_grad_()
    assert gradcheck(softplus, inner, check_forward_ad=True)
    assert gradgradcheck(softplus, inner)


def test_square_prints_what_it_should(built):
    printed = run(built["square"] / "square")
    assert printed == (EXPECTED / "square.txt").read_text(encoding="utf-8")


def test_derivatives_prints_what_it_should_and_has_no_python_in_it(built):
    program = built["derivatives"] / "derivatives"
    assert run(program) == (EXPECTED / "derivatives.txt").read_text(encoding="utf-8")
    if shutil.which("ldd"):
        libraries = run("ldd", program)
        assert "libtorch_cpu" in libraries
        assert "libpython" not in libraries
        assert "libtorch_python" not in libraries


def test_every_example_is_explained():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    # each has a test above
    assert PROJECTS == ["custom_function", "derivatives", "square"]
    for name in PROJECTS:
        assert f"`{name}`" in text

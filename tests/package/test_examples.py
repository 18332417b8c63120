"""Every project in examples/, built from the installed package and run."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from support.builds import HAS_BACKEND, PROJECTS
from support.consumer import load, run
from support.paths import EXAMPLES, ROOT
from torch.autograd import gradcheck, gradgradcheck

import libgrad

EXPECTED = Path(__file__).parent / "expected"


@pytest.mark.skipif(not HAS_BACKEND, reason="scikit_build_core, which builds it, is not installed")
def test_package_passes_its_own_tests(built, monkeypatch):
    monkeypatch.syspath_prepend(built["package"].result())
    tests = runpy.run_path(str(EXAMPLES / "package" / "test_cubes.py"))
    functions = [function for name, function in tests.items() if name.startswith("test_")]
    assert len(functions) == 2
    for function in functions:
        function()


def test_package_says_which_torch_it_needs():
    text = (EXAMPLES / "package" / "pyproject.toml").read_text(encoding="utf-8")
    (torch_minor,) = re.findall(r'"torch==(\d+\.\d+)\.\*"', text)
    (libgrad_minor,) = re.findall(r'"libgrad==(\d+\.\d+)\.\*"', text)
    assert f"'torch=={torch_minor}.*'" in (ROOT / "README.md").read_text("utf-8")
    assert libgrad.__version__.startswith(f"{libgrad_minor}.")


def test_custom_function_is_softplus(built):
    softplus = load("softplus", built["custom_function"].result()).softplus
    x = torch.tensor([-1000.0, -2.0, 0.0, 3.0, 1000.0], dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.softplus(x, beta=2)
    torch.testing.assert_close(softplus(x, beta=2), expected)
    dx, theirs = (torch.autograd.grad(y.sum(), x)[0] for y in (softplus(x, 2.0), expected))
    torch.testing.assert_close(dx, theirs)
    inner = x[1:4].detach().requires_grad_()
    assert gradcheck(softplus, inner, check_forward_ad=True)
    assert gradgradcheck(softplus, inner)


def test_square_prints_what_it_should(built):
    printed = run(built["square"].result() / "square")
    assert printed == (EXPECTED / "square.txt").read_text(encoding="utf-8")


def test_derivatives_prints_what_it_should_and_has_no_python_in_it(built):
    program = built["derivatives"].result() / "derivatives"
    assert run(program) == (EXPECTED / "derivatives.txt").read_text(encoding="utf-8")
    if shutil.which("ldd"):
        libraries = run("ldd", program)
        assert "libtorch_cpu" in libraries
        assert "libpython" not in libraries
        assert "libtorch_python" not in libraries


def test_every_example_is_explained():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    # each has a test above
    assert PROJECTS == ["custom_function", "derivatives", "package", "square"]
    for name in PROJECTS:
        assert f"`{name}`" in text

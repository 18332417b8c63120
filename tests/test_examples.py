"""Every project in examples/, built from the installed package and run."""

from __future__ import annotations

import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from consumer import build, load, run

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EXPECTED = Path(__file__).parent / "expected"
PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/CMakeLists.txt"))
HAS_BACKEND = importlib.util.find_spec("scikit_build_core") is not None


def install_cube(folder: Path) -> Path:
    """Install examples/cube in `folder` by pip, from what is there and without optimizing."""
    run(
        *(sys.executable, "-m", "pip", "install", "--no-index", "--no-build-isolation"),
        *("--no-deps", "-Ccmake.define.CMAKE_CXX_FLAGS_RELEASE=-O0"),
        *("--target", folder, EXAMPLES / "cube"),
    )
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Futures of the folders where each project was built; two are built at a time."""
    with ThreadPoolExecutor(2) as pool:
        futures = {
            name: pool.submit(build, EXAMPLES / name, tmp_path_factory.mktemp(name))
            for name in PROJECTS
        }
        if HAS_BACKEND:
            futures["pip"] = pool.submit(install_cube, tmp_path_factory.mktemp("pip"))
        return futures


def check_cube(module) -> None:
    x = torch.tensor([2.0, -3.0], requires_grad=True)
    y = module.cube(x)
    assert y.tolist() == [8, -27]
    (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert dx.tolist() == [12, 27]
    assert torch.autograd.grad(dx.sum(), x)[0].tolist() == [12, -18]


def test_cube_is_a_cmake_project(built):
    check_cube(load("cube", built["cube"].result()))


@pytest.mark.skipif(not HAS_BACKEND, reason="scikit_build_core, which builds it, is not installed")
def test_cube_is_a_package_for_pip(built):
    check_cube(load("cube", built["pip"].result()))


def test_square_prints_what_it_should(built):
    printed = run(built["square"].result() / "square")
    assert printed == (EXPECTED / "square.txt").read_text(encoding="utf-8")


def test_every_example_is_explained():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert PROJECTS == ["cube", "square"]  # each has a test of its own above
    for name in PROJECTS:
        assert f"`{name}`" in text

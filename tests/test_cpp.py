"""The C++ tests, and what the headers promise to the compiler."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from consumer import run

import libgrad

SOURCES = Path(__file__).parent / "cpp"
INCLUDE = Path(libgrad.include_dir())
HEADERS = sorted(path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.h"))
WITH_PYTHON = {"libgrad/python.h", *(h for h in HEADERS if "detail/python_" in h)}


def first_include(header: str) -> str:
    """The header that `header` starts with, so that compiling one compiles the other alone."""
    found = re.search(r"^#include <(.*)>", (INCLUDE / header).read_text(), re.MULTILINE)
    return found[1] if found else ""


# Compiled alone elsewhere: as tests/cpp is built, and by tests/test_inline.py.
ELSEWHERE = {"libgrad/libgrad.h", "libgrad/python.h", "libgrad/detail/inline.h"}
STARTED_WITH = {
    first_include(h) for h in HEADERS if (h in WITH_PYTHON) <= (first_include(h) in WITH_PYTHON)
}
ALONE = [header for header in HEADERS if header not in ELSEWHERE | STARTED_WITH]
NEED_PYTHON = {*WITH_PYTHON, "refused"}
CXX = os.environ.get("CXX", "c++")

REFUSED = """\
#include <libgrad/python.h>
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Hidden : torch::autograd::Function<Hidden> {
  static Tensor forward(AutogradContext*, std::vector<std::optional<Tensor>>);
  static variable_list backward(AutogradContext*, variable_list);
};
struct Mapped : torch::autograd::Function<Mapped> {
  static Tensor forward(AutogradContext*, std::map<std::string, Tensor>);
  static variable_list backward(AutogradContext*, variable_list);
};
struct Bools : torch::autograd::Function<Bools> {
  static Tensor forward(AutogradContext*, const Tensor&, at::ArrayRef<bool>);
  static variable_list backward(AutogradContext*, variable_list);
};
struct Overloaded : torch::autograd::Function<Overloaded> {
  static Tensor forward(AutogradContext*, const Tensor&);
  static Tensor forward(AutogradContext*, double);
  static variable_list backward(AutogradContext*, variable_list);
};
void define(pybind11::module_& m) {
  libgrad::def_function<Hidden>(m, "hidden");
  libgrad::def_function<Mapped>(m, "mapped");
  libgrad::def_function<Bools>(m, "bools");
  libgrad::def_function<Overloaded>(m, "overloaded");
}
"""


@pytest.mark.parametrize("name", [path.stem for path in sorted(SOURCES.glob("test_*.cpp"))])
def test_program_passes(name, cpp_build):
    tests = re.findall(r"^TEST\((\w+)\)", (SOURCES / f"{name}.cpp").read_text(), re.MULTILINE)
    assert run(cpp_build / name).splitlines() == [f"ok {test}" for test in tests]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("TEST(a) { EXPECT(1 == 2); }", "FAIL a: line 2: not so: 1 == 2\n"),
        ('TEST(a) { EXPECT_THROWS(std::exception, "x", 0); }', "nothing was thrown"),
        (
            'TEST(a) { EXPECT_THROWS(std::exception, "x", std::stoi("")); }',
            "expected 'x', got stoi",
        ),
        ('TEST(a) { throw std::logic_error("b"); }\nTEST(c) {}', "FAIL a: b\nok c\n"),
        ("", ""),
    ],
    ids=["check", "no exception", "another exception", "uncaught", "no tests"],
)
def test_a_failing_program_fails(body, says, tmp_path):
    (tmp_path / "a.cpp").write_text(f'#include "check.h"\n{body}\n')
    run(CXX, "-std=c++20", f"-I{SOURCES}", tmp_path / "a.cpp", "-o", tmp_path / "a")
    done = subprocess.run([tmp_path / "a"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert says in done.stdout


def compile_alone(source: str, folder: Path, *, python: bool) -> tuple[int, str]:
    """Let the compiler check `source`, strictly; return its exit code and what it said."""
    path = folder / f"{abs(hash(source))}.cpp"
    path.write_text(source)
    torch_include = Path(torch.__file__).parent / "include"
    command = [
        *(CXX, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror"),
        *("-I", INCLUDE, "-isystem", torch_include),
        *("-isystem", torch_include / "torch/csrc/api/include"),
    ]
    if python:  # as libgrad_add_module compiles it
        command += ["-fvisibility=hidden", "-isystem", sysconfig.get_path("include")]
    done = subprocess.run([*command, path], check=False, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict[str, Future[tuple[int, str]]]:
    """What the compiler says of each header alone, and of REFUSED; two at a time."""
    folder = tmp_path_factory.mktemp("headers")
    sources = {header: f"#include <{header}>\n" for header in ALONE} | {"refused": REFUSED}
    with ThreadPoolExecutor(2) as pool:
        return {
            name: pool.submit(compile_alone, source, folder, python=name in NEED_PYTHON)
            for name, source in sources.items()
        }


@pytest.mark.parametrize("header", ALONE)
def test_header_compiles_alone(header, compiled):
    """Without a warning, and without Python where it does not need it."""
    assert compiled[header].result() == (0, "")


@pytest.mark.parametrize(
    ("message", "times"),
    [
        ("def_function: LibTorch does not see the tensors in this argument of forward", 2),
        ("def_function: Fn::forward must be one function; it is overloaded", 1),
        ("def_function: an at::ArrayRef<bool> cannot point into", 1),
    ],
    ids=["hidden tensors", "overloaded forward", "array of bool"],
)
def test_def_function_refuses(message, times, compiled):
    code, said = compiled["refused"].result()
    assert code != 0
    found = re.findall(r"static assertion failed.*?: (.*)", said) or said.splitlines()
    assert sum(message in line for line in found) == times


def test_umbrella_header_has_every_public_header_but_python_h():
    public = {header for header in HEADERS if header.count("/") == 1}
    included = re.findall(r"#include <(.*)>", (INCLUDE / "libgrad/libgrad.h").read_text())
    assert set(included) == public - {"libgrad/python.h", "libgrad/libgrad.h"}

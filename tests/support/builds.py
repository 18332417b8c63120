"""What takes a compiler minutes, done while other tests run: each for the fixture of its name."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from support.consumer import build, run
from support.docs_blocks import build_cpp, runnable
from support.paths import CPP, EXAMPLES

import libgrad

PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/CMakeLists.txt"))
HAS_BACKEND = importlib.util.find_spec("scikit_build_core") is not None
INCLUDE = Path(libgrad.include_dir())
HEADERS = sorted(path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.h"))
WITH_PYTHON = {"libgrad/python.h", *(h for h in HEADERS if h.startswith("libgrad/python/"))}
CXX = os.environ.get("CXX", "c++")


def first_include(header: str) -> str:
    """The header that `header` starts with, so that compiling one compiles the other alone."""
    found = re.search(r"^#include <(.*)>", (INCLUDE / header).read_text(), re.MULTILINE)
    return found[1] if found else ""


# Compiled alone elsewhere: as tests/cpp is built, and by tests/function/test_inline.py.
ELSEWHERE = {"libgrad/libgrad.h", "libgrad/python.h", "libgrad/function/inline.h"}
STARTED_WITH = {
    first_include(h) for h in HEADERS if (h in WITH_PYTHON) <= (first_include(h) in WITH_PYTHON)
}
ALONE = [header for header in HEADERS if header not in ELSEWHERE | STARTED_WITH]
REFUSED = (CPP / "function" / "refused.cpp").read_text(encoding="utf-8")


def cpp_build(folder: Path) -> Path:
    """tests/cpp, built against the installed package."""
    return build(CPP, folder)


def compiled(folder: Path) -> dict[str, Future[tuple[int, str]]]:
    """What the compiler says of each header alone, and of refused.cpp; two at a time."""
    sources = {header: f"#include <{header}>\n" for header in ALONE} | {"refused": REFUSED}
    with ThreadPoolExecutor(2) as pool:
        return {
            name: pool.submit(
                _compile_alone, source, folder, python=name in {*WITH_PYTHON, "refused"}
            )
            for name, source in sources.items()
        }


def _compile_alone(source: str, folder: Path, *, python: bool) -> tuple[int, str]:
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


def built(folder: Path) -> dict[str, Future[Path]]:
    """Futures of the folders where each of examples/ was built; two are built at a time."""
    with ThreadPoolExecutor(2) as pool:
        return {name: pool.submit(_build_example, name, folder / name) for name in PROJECTS}


def _build_example(name: str, folder: Path) -> Path:
    if name != "package":
        return build(EXAMPLES / name, folder)
    if HAS_BACKEND:  # by pip, from what is there and without optimizing
        run(
            *(sys.executable, "-m", "pip", "install", "--no-index", "--no-build-isolation"),
            *("--no-deps", "--config-settings=cmake.define.CMAKE_CXX_FLAGS_RELEASE=-O0"),
            *("--target", folder, EXAMPLES / "package"),
        )
    return folder


def docs_program(folder: Path) -> Path:
    """The C++ blocks of the documentation as one program."""
    return build_cpp(list(runnable("cpp").values()), folder)


JOBS = {"docs_program": docs_program, "cpp_build": cpp_build, "compiled": compiled, "built": built}

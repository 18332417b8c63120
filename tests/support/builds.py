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
from support.header_chains import chains, leading_includes
from support.paths import CPP, EXAMPLES

import libgrad

PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/CMakeLists.txt"))
HAS_BACKEND = importlib.util.find_spec("scikit_build_core") is not None
INCLUDE = Path(libgrad.include_dir())
HEADERS = sorted(path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.h"))
WITH_PYTHON = {header for header in HEADERS if re.search("python[_./]", header)}
CXX = os.environ.get("CXX", "c++")
CHAINS = [
    chain
    for group in (WITH_PYTHON, {*HEADERS} - WITH_PYTHON)
    for chain in chains({header: leading_includes(INCLUDE / header) for header in group})
]
REFUSED = (CPP / "function" / "refused.cpp").read_text(encoding="utf-8")
Said = tuple[int, str]  # of the compiler: exit code, messages
FINE: Said = (0, "")


def cpp_build(folder: Path) -> Path:
    """tests/cpp, built against the installed package."""
    return build(CPP, folder)


def compiled(folder: Path) -> dict[str, Future[dict[str, Said]]]:
    """What the compiler says of each header alone, and of refused.cpp; two at a time."""
    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(lambda: {"refused": _compile(REFUSED, folder, python=True)})
        futures = {"refused": refused}
        for chain in CHAINS:
            futures |= dict.fromkeys(chain, pool.submit(_compile_alone, chain, folder))
        return futures


def _compile_alone(chain: list[str], folder: Path) -> dict[str, Said]:
    """Let the compiler check a chain of headers, and each by itself if it complains."""

    def check(*headers: str) -> Said:
        source = "".join(f"#include <{header}>\n" for header in headers)
        return _compile(source, folder, python=headers[0] in WITH_PYTHON)

    said = check(*chain)
    if said == FINE or len(chain) == 1:
        return dict.fromkeys(chain, said)
    each = {header: check(header) for header in chain}
    return each if any(one != FINE for one in each.values()) else dict.fromkeys(chain, said)


def _compile(source: str, folder: Path, *, python: bool) -> Said:
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

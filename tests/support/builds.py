"""What takes a compiler minutes, done while other tests run: each for the fixture of its name.

It is done in a process of its own: a test may change this one's PATH or its sys.executable.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from collections import ChainMap
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from support import environment
from support.consumer import build, run
from support.docs_blocks import build_cpp, read_blocks, runnable
from support.header_chains import chains, leading_includes
from support.paths import CPP, EXAMPLES

import libgrad
from libgrad._command.callables import Unusable
from libgrad._command.wheel.metadata import minor_key
from libgrad._command.wheel.tag import check_tools
from libgrad._command.wheel.torches import INSTALLED, Torch, find
from libgrad._function.compiler import cache_dir

PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/CMakeLists.txt"))
HAS_BACKEND = importlib.util.find_spec("scikit_build_core") is not None
INCLUDE = Path(libgrad.include_dir())
OTHERS = re.compile(rf"/table_(?!{INSTALLED.replace('.', '_')}\.)\d+_\d+\.h$")  # for other torches
HEADERS = sorted(
    header
    for header in (path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.h"))
    if not OTHERS.search(header)
)
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


def compiled(folder: Path) -> dict[str, Said]:
    """What the compiler says of each header alone, and of refused.cpp; two at a time."""
    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(_compile, REFUSED, folder, python=True)
        said = dict(ChainMap(*pool.map(_compile_alone, CHAINS, repeat(folder))))
        return said | {"refused": refused.result()}


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


def built(folder: Path) -> dict[str, Path]:
    """The folders where each of examples/ was built; two are built at a time."""
    with ThreadPoolExecutor(2) as pool:
        sources, folders = ([above / name for name in PROJECTS] for above in (EXAMPLES, folder))
        return dict(zip(PROJECTS, pool.map(build, sources, folders), strict=True))


def fat(folder: Path) -> dict[str, Any]:
    """Wheels that `python -m libgrad wheel` makes of a new package, for one torch and for two.

    The other torch is that of the environment LIBGRAD_OTHER_TORCH, else one that the command has
    cached. The package is run with it where the environment has a libgrad, too.
    """
    try:
        check_tools(platform := "auto")
    except Unusable:
        platform = "linux"
    run(sys.executable, "-m", "libgrad", "new", "cubes", cwd=folder)

    def wheel(torches: str) -> Path:
        out = folder / torches.replace(os.sep, "_")
        run(
            *("env", "CMAKE_ARGS=-DCMAKE_CXX_FLAGS_RELEASE=-O0"),
            *(sys.executable, "-m", "libgrad", "wheel", folder / "cubes", "--out", out),
            *("--torch", torches, "--plat", platform),
        )
        (path,) = out.glob("*.whl")
        return path

    built: dict[str, Any] = {"project": folder / "cubes", "platform": platform}
    built |= {"one": wheel(INSTALLED), "several": None}
    reason = "no torch of another minor version: set LIBGRAD_OTHER_TORCH to an environment with one"
    built["reason"] = reason
    if other := _other_torch():
        built["several"] = wheel(f"{INSTALLED},{other.directory}")
        built["minors"] = sorted([INSTALLED, other.minor], key=minor_key)
    python = Path(os.environ.get("LIBGRAD_OTHER_TORCH", ""), "bin", "python")
    can = [python, "-c", "import libgrad, torch"]
    has_libgrad = python.is_file() and not subprocess.run(can, capture_output=True).returncode
    built["other python"] = str(python) if has_libgrad else None
    return built


def _other_torch() -> Torch | None:
    """Return a torch of another minor version, if there is one."""
    given = os.environ.get("LIBGRAD_OTHER_TORCH")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LIBGRAD_CACHE_DIR", raising=False)  # which conftest.py sets
        cache = cache_dir()
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    paths = [given] if given else sorted(map(str, (cache / "torch").glob(f"[0-9]*-{tag}-*")))
    found = (find(path, cache) for path in paths)
    return next((torch for torch in found if torch.minor != INSTALLED), None)


def docs_program(folder: Path) -> Path:
    """The C++ blocks of the documentation as one program."""
    return build_cpp(list(runnable("cpp").values()), folder)


def new_package(folder: Path) -> tuple[Path, dict[str, str]]:
    """`my-cubes`, a new package, in an environment `venv` beside it; and what was printed there
    by the commands of its README, each run as it stands.
    """
    run(sys.executable, "-m", "libgrad", "new", "my-cubes", cwd=folder)
    environment.create(folder / "venv")
    (folder / "wheels").mkdir()
    variables = {
        **os.environ,
        **environment.offline(folder / "wheels"),
        "PATH": os.pathsep.join(
            [f"{folder}/venv/bin", str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "CMAKE_ARGS": "-DCMAKE_CXX_FLAGS_RELEASE=-O0",  # the test is in a hurry
    }
    project = folder / "my-cubes"
    install, make_wheel = read_blocks(project / "README.md", "console")
    assert "libgrad wheel" in make_wheel.code
    printed = {
        command: run("bash", "-c", command, cwd=project, env=variables)
        for command in install.code.splitlines()
    }
    return project, printed


JOBS = {
    "docs_program": docs_program,
    "cpp_build": cpp_build,
    "compiled": compiled,
    "built": built,
    "fat": fat,
    "new_package": new_package,
}


def run_job(name: str, folder: Path) -> Any:
    """Do one of JOBS; a failure is an error that another process can read."""
    try:
        return JOBS[name](folder)
    except pytest.fail.Exception as failed:
        raise RuntimeError(str(failed)) from None

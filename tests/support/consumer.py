"""C++ projects that use the installed package, built as their authors would build them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import libgrad


def run(*command: str | Path, **options: object) -> str:
    """Run a command and return its standard output; fail with all it said when it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options = {"env": {**os.environ, "PATH": path}, **pipes, **options}
    done = subprocess.run(command, check=False, text=True, **options)
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}"
        pytest.fail(f"{command[0]} exited with {done.returncode}:\n{said}", pytrace=False)
    return done.stdout


def build(source: Path, folder: Path) -> Path:
    """Build the CMake project at `source`, without optimizing, in `folder`; return that."""
    run(
        *("cmake", "-G", "Ninja", "-S", source, "-B", folder),
        *("-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O0"),
        f"-Dlibgrad_DIR={libgrad.cmake_dir()}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    run("cmake", "--build", folder, "--parallel", "2")
    return folder


def load(name: str, folder: Path) -> ModuleType:
    """Import the extension module `name` that lies in `folder`."""
    (path,) = folder.glob(f"{name}.*.so")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

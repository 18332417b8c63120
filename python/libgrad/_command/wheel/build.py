"""Builds a project for one torch, by pip and the project's own build backend."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..callables import Unusable
from .archive import OLDEST_TIME, Wheel, read
from .torches import Torch

__all__ = ["build_for", "check_project"]

SHOWN_LINES = 40  # of a build that fails


def check_project(project: Path) -> None:
    """Stop at what can be known before building."""
    if not (project / "pyproject.toml").is_file():
        raise Unusable(f"{project} is no project: it has no pyproject.toml")
    if importlib.util.find_spec("scikit_build_core") is None:
        raise Unusable(
            "needs scikit-build-core; run\n    pip install scikit-build-core ninja cmake"
        )


def build_for(
    project: Path, torch: Torch, folder: Path, say: Callable[[str], None] = print
) -> Wheel:
    """Return the wheel of a project for one torch; `folder` is for what the build writes.

    Raises:
        Unusable: the build failed, or used no torch or another one.
    """
    say(f"torch {torch.version} ({torch.origin}): building for it")
    start = time.perf_counter()
    out, log = folder / "wheel", folder / "log.txt"
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-build-isolation"]
    command += ["--no-deps", "--wheel-dir", str(out)]
    command += ["--config-settings", f"build-dir={folder / 'build'}", str(project)]
    environment = {**os.environ, "LIBGRAD_TORCH": str(torch.directory)}
    environment.setdefault("SOURCE_DATE_EPOCH", str(OLDEST_TIME))
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command, check=False, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    said = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode:
        end = "\n".join(said.rstrip().split("\n")[-SHOWN_LINES:])
        raise Unusable(f"{project} does not build for torch {torch.version}. It said\n{end}")
    used = re.findall(r"libgrad: torch \S+ at (.+)", said)  # which libgradTorch.cmake prints
    if not used or any(not os.path.samefile(path.strip(), torch.directory) for path in used):
        raise Unusable(
            f"{project} was not built with the torch at {torch.directory}, but with "
            f"{used[0].strip() if used else 'none that libgrad told it of'}. Its build must be "
            "scikit-build-core's, its CMakeLists.txt call find_package(libgrad), and nothing set "
            "LIBGRAD_TORCH_DIR"
        )
    (path,) = out.glob("*.whl")
    wheel = read(path)
    say(f"torch {torch.version}: {path.name}, {time.perf_counter() - start:.0f} s")
    return wheel

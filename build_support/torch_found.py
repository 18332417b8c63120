"""Finds the torch to build with; an installed one is used where it lies.

In turn: the one that ``LIBGRAD_TORCH`` names, the one that this process imports (a build without
isolation, or a build environment that was given a torch), and the one of the environment that
libgrad is installed into, which an isolated build cannot import.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CMAKE = Path(__file__).resolve().parents[1] / "cmake" / "libgradTorch.cmake"
PROBE = """
import importlib.util, json, sys
sys.path = [path for path in sys.path if path]  # not the current directory
spec = importlib.util.find_spec("torch")
print(json.dumps([sys.version_info[:2], spec.origin if spec else None]))
"""


class Unusable(Exception):
    """There is no torch to build with, or a wrong one; the text says what to do."""


@dataclass(frozen=True)
class Torch:
    """A torch package or LibTorch directory, which holds include/ and lib/."""

    directory: Path
    version: str

    @property
    def minor(self) -> str:
        """Return "2.9" of 2.9.1."""
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        """Return what errors call it."""
        return f"torch {self.version} at {self.directory}"


def number(minor: str) -> tuple[int, ...]:
    """Return (2, 9) for "2.9"."""
    return tuple(map(int, minor.split(".")))


def supported() -> tuple[str, str]:
    """Return the oldest and the newest minor of torch that libgrad knows."""
    text = CMAKE.read_text(encoding="utf-8")
    oldest, newest = (
        re.search(rf"set\(libgrad_{word}_TORCH (\d+\.\d+)\)", text) for word in ("OLDEST", "NEWEST")
    )
    if not (oldest and newest):
        raise Unusable(f"{CMAKE} does not set libgrad_OLDEST_TORCH and libgrad_NEWEST_TORCH")
    return oldest[1], newest[1]


def requirement() -> str:
    """Return what to require of torch where none is installed: "torch>=OLDEST,<NEWEST+1"."""
    oldest, newest = supported()
    major, minor = number(newest)
    return f"torch>={oldest},<{major}.{minor + 1}"


def torch_of(directory: Path) -> Torch | None:
    """Return the torch that `directory` is, read as CMake reads it."""
    file = directory / "share" / "cmake" / "Torch" / "TorchConfigVersion.cmake"
    if not file.is_file():
        return None
    found = re.search(r'(?m)^set\(PACKAGE_VERSION "(\d+\.\d+(?:\.\d+)?)', file.read_text("utf-8"))
    return Torch(directory.resolve(), found[1]) if found else None


def _package(origin: str) -> Torch:
    """Return the torch whose __init__.py is `origin`."""
    directory = Path(origin).parent
    torch = torch_of(directory)
    if torch is None:
        raise Unusable(
            f"the torch at {directory} cannot be built with: it has no share/cmake/Torch/"
            "TorchConfigVersion.cmake. Reinstall it by pip, or set LIBGRAD_TORCH to the directory "
            "of another"
        )
    return torch


def imported_here() -> Torch | None:
    """Return the torch that this process would import."""
    spec = importlib.util.find_spec("torch")
    return _package(spec.origin) if spec and spec.origin else None


def imported_by(python: Path) -> Torch | None:
    """Return the torch that another Python of this version imports, left to its own settings.

    ``-E`` is what matters to pip's build isolation: it makes by PYTHONPATH and PYTHONNOUSERSITE
    what the Python of the environment does not see by itself.
    """
    command = [str(python), "-E", "-c", PROBE]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        return None
    version, origin = json.loads(done.stdout.splitlines()[-1])
    return _package(origin) if origin and tuple(version) == sys.version_info[:2] else None


def _settings_of_uv() -> tuple[dict[str, str], Path | None]:
    """Return environment and working directory of the uv that runs this build, where they show.

    What VIRTUAL_ENV was, uv replaces by its build environment.
    """
    process = Path(f"/proc/{os.getppid()}")
    try:
        lines = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        folder = (process / "cwd").resolve()
    except OSError:
        return {}, None
    return dict(line.split("=", 1) for line in lines if "=" in line), folder


def environments() -> Iterator[Path]:
    """Yield the environments that may be installed into, but for the one that runs this build.

    pip runs a build by the Python of the environment itself, whatever else is activated.
    """
    if "PIP_BUILD_TRACKER" in os.environ:
        return
    names = ["UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "CONDA_PREFIX"]
    folders = [(os.environ.get(name), Path.cwd()) for name in names]
    if "UV" in os.environ:
        theirs, folder = _settings_of_uv()
        if folder:
            folders += [(theirs.get(name), folder) for name in names]
            folders += [(".venv", each) for each in (folder, *folder.parents)]
    for name, base in folders:
        environment = base / name if name else None
        if environment and environment.is_dir() and not environment.samefile(sys.prefix):
            yield environment


def python_of(environment: Path) -> Path | None:
    """Return the Python of an environment."""
    candidates = (environment / name for name in ("bin/python", "Scripts/python.exe", "python.exe"))
    return next((path for path in candidates if path.is_file()), None)


def installed() -> Torch | None:
    """Return the torch of the environment that is installed into."""
    pythons = [Path(sys.executable), *map(python_of, environments())]
    return next(filter(None, (imported_by(python) for python in pythons if python)), None)


def at_path(path: Path) -> Torch:
    """Return the torch at a path: a torch package, LibTorch, a site-packages, an environment."""
    patterns = ["torch", "lib/python*/site-packages/torch", "Lib/site-packages/torch"]
    for directory in [path, *(each for pattern in patterns for each in sorted(path.glob(pattern)))]:
        if torch := torch_of(directory):
            return torch
    python = python_of(path)
    torch = imported_by(python) if python else None
    if torch is None:
        raise Unusable(
            f"LIBGRAD_TORCH is {path}, where no torch is. It must be a minor version such as "
            f"{supported()[1]}, or the path of a torch package, of a LibTorch, of a site-packages "
            "that has one, or of an environment"
        )
    return torch


def wanted_minor(setting: str) -> str | None:
    """Return the minor that LIBGRAD_TORCH names, or None when it is a path."""
    if not re.fullmatch(r"\d+\.\d+", setting):
        if re.fullmatch(r"\d[\w.+*]*", setting) and not Path(setting).exists():
            raise Unusable(
                f"LIBGRAD_TORCH is {setting}, which is no minor version of torch. It must be one "
                f"such as {supported()[1]}, or a path"
            )
        return None
    oldest, newest = supported()
    if number(setting) < number(oldest):
        raise Unusable(
            f"LIBGRAD_TORCH is {setting}, but libgrad supports torch {oldest} to {newest}. Set it "
            "to one of these, or unset it"
        )
    return setting


def find(setting: str) -> tuple[Torch | None, str]:
    """Return the torch to build with, and what to require of torch if there is none yet.

    `setting` is what LIBGRAD_TORCH says, or "".
    """
    minor = wanted_minor(setting) if setting else None
    if setting and not minor:
        return at_path(Path(setting).expanduser()), ""
    if minor:
        found = filter(None, (search() for search in (imported_here, installed)))
        return next((torch for torch in found if torch.minor == minor), None), f"torch=={minor}.*"
    torch = imported_here() or installed()
    oldest, newest = supported()
    if torch and number(torch.minor) < number(oldest):
        raise Unusable(
            f"{torch} is too old: libgrad supports {oldest} to {newest}. An installed torch is "
            f"never replaced: upgrade it yourself, as by pip install 'torch=={newest}.*', or set "
            f"LIBGRAD_TORCH={newest} to build libgrad for another environment"
        )
    return torch, requirement()

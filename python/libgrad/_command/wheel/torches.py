"""Torches to build with: the installed one, one at a path, or a part of a downloaded one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ... import cmake_dir
from ..callables import Unusable
from .metadata import minor_key

__all__ = ["INSTALLED", "Torch", "find", "oldest"]

VERSION_FILE = "share/cmake/Torch/TorchConfigVersion.cmake"
LIBRARIES = re.compile(r"(lib)?(c10|torch|torch_cpu|torch_python)\.(so|dylib|dll|lib)")
INSTALLED = ".".join(torch.__version__.split(".")[:2])
BELOW = ("", "torch", "lib/python*/site-packages/torch", "Lib/site-packages/torch")


@dataclass(frozen=True)
class Torch:
    """A torch to build with: its directory holds include/ and lib/."""

    version: str
    directory: Path
    origin: str  # "installed", "downloaded", "cached", "given"

    @property
    def minor(self) -> str:
        """Return "2.9" of 2.9.1."""
        return ".".join(self.version.split(".")[:2])


def oldest() -> str:
    """Return the oldest minor version that libgrad supports."""
    text = Path(cmake_dir(), "libgradTorch.cmake").read_text(encoding="utf-8")
    found = re.search(r"set\(libgrad_OLDEST_TORCH (\d+\.\d+)\)", text)
    if found is None:
        raise Unusable(f"{cmake_dir()}/libgradTorch.cmake does not set libgrad_OLDEST_TORCH")
    return found[1]


def _at(directory: Path, origin: str) -> Torch | None:
    file = directory / VERSION_FILE
    if not file.is_file():
        return None
    found = re.search(r'(?m)^set\(PACKAGE_VERSION "(\d+\.\d+(?:\.\d+)?)', file.read_text("utf-8"))
    return Torch(found[1], directory.resolve(), origin) if found else None


def _given(path: Path) -> Torch:
    """Return the torch at a path, below which it may be, as LIBGRAD_TORCH takes it."""
    for pattern in BELOW:
        for directory in sorted(path.glob(pattern)) if pattern else [path]:
            if found := _at(directory, "given"):
                return found
    raise Unusable(
        f"--torch {path}: there is no torch. It must be a minor version such as {INSTALLED}, or "
        "the path of a torch package, a LibTorch, a site-packages that has one, or an environment"
    )


def _is_needed(name: str) -> bool:
    """Return whether a build needs this file of torch's wheel."""
    top, _, rest = name.partition("/")
    if top != "torch" or name.endswith("/"):  # a folder
        return False
    in_lib = rest.startswith("lib/") and LIBRARIES.fullmatch(rest.removeprefix("lib/"))
    return bool(in_lib) or rest.startswith("include/") or rest in {VERSION_FILE, "version.py"}


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack what a build needs of torch's wheel."""
    with zipfile.ZipFile(archive) as wheel:
        for name in filter(_is_needed, wheel.namelist()):
            target = folder / name.removeprefix("torch/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(name) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)


def _download(minor: str, place: Path, say: Callable[[str], None]) -> None:
    """Put headers and libraries of a torch at `place`, all or nothing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=place.parent) as temporary:
        wheels, folder = Path(temporary, "wheel"), Path(temporary, "torch")
        say(f"torch {minor}: downloading it, without what it depends on")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(wheels)]
        done = subprocess.run(
            [*command, f"torch=={minor}.*"],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            said = "\n".join(done.stdout.strip().split("\n")[-10:])
            raise Unusable(
                f"--torch {minor}: pip found no such torch. It said\n{said}\nGive the path of "
                "one, or change pip's settings (pip config list)"
            )
        _unpack(next(wheels.glob("*.whl")), folder)
        if _at(folder, "downloaded") is None:
            raise Unusable(f"--torch {minor}: torch's wheel has no {VERSION_FILE}")
        try:
            os.rename(folder, place)
        except OSError:  # another process was faster
            if _at(place, "cached") is None:
                raise


def _check_age(wanted: str, minor: str) -> None:
    if minor_key(minor) < minor_key(oldest()):
        raise Unusable(f"--torch {wanted}: torch {minor} is too old; {oldest()} is the oldest")


def find(wanted: str, cache: Path, say: Callable[[str], None] = print) -> Torch:
    """Return the torch that `wanted` names, a minor version or a path; download it if need be.

    Raises:
        Unusable: there is none, or it is too old.
    """
    if not re.fullmatch(r"\d+\.\d+", wanted):
        given = _given(Path(wanted).expanduser())
        _check_age(wanted, given.minor)
        return given
    _check_age(wanted, wanted)
    installed = _at(Path(torch.__file__).parent, "installed")
    if installed and installed.minor == wanted:
        return installed
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    place = cache / "torch" / f"{wanted}-{tag}-{sysconfig.get_platform()}"
    if cached := _at(place, "cached"):
        return cached
    _download(wanted, place, say)
    found = _at(place, "downloaded")
    assert found is not None
    return found

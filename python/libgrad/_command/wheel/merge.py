"""Puts wheels of one package, each built for another torch, into one.

What is equal in all stands where it stood. A module that differs, and every extension module that
is linked to torch, goes into a folder beside it, named ``_torch_MAJOR_MINOR``; ``chooser.py`` takes
its place, and loads the one for the torch that is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ..callables import Unusable
from .archive import File, Wheel
from .metadata import merged_metadata

__all__ = ["merge"]

CHOOSER = File((Path(__file__).parent / "chooser.py").read_bytes())
LIBRARY = re.compile(r"([^.]+)(\.[\w.-]+)?\.(so|pyd)(\.[\d.]+)?")
TORCH = (b"libtorch", b"libc10", b"torch_cpu.dll", b"c10.dll")

Copies = Mapping[str, File]  # of one file, by the minor version of torch


def _library(path: str) -> str | None:
    """Return the name of a shared library without its suffixes, None for another file."""
    found = LIBRARY.fullmatch(PurePosixPath(path).name)
    return found[1] if found else None


def _is_extension(path: str, copies: Copies) -> bool:
    """Return whether a file is a module that Python can import, and no other shared library."""
    name = _library(path)
    return bool(name) and all(f"PyInit_{name}".encode() in each.data for each in copies.values())


def _differs(copies: Copies) -> bool:
    return len({each.data for each in copies.values()}) > 1


def _is_chosen(path: str, copies: Copies, count: int) -> bool:
    """Return whether a file is a module of which each torch has its own."""
    if _is_extension(path, copies):
        linked = any(word in each.data for each in copies.values() for word in TORCH)
        return linked or _differs(copies) or len(copies) < count
    return path.endswith(".py") and _differs(copies)


def _place(path: str, minor: str) -> str:
    """Return where the module at `path` goes for a torch."""
    parent, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
    version = minor.replace(".", "_")
    if parent == ".":  # beside other packages: a folder of its own
        return f"_{name.split('.')[0]}_torch_{version}/{name}"
    return f"{parent}/_torch_{version}/{name}"


def _chooser(path: str) -> str:
    """Return the path of the chooser that takes the place of a module."""
    return str(PurePosixPath(path).with_name(PurePosixPath(path).name.split(".")[0] + ".py"))


def _refuse(paths: Iterable[str], why: str) -> None:
    if listed := ", ".join(sorted(paths)):
        raise Unusable(f"{listed}: {why}")


def _check(copies: Mapping[str, Copies], chosen: set[str], info: str) -> None:
    """Stop at what cannot be merged."""
    rest = {path: each for path, each in copies.items() if path not in chosen}
    libraries = {path for path in rest if _library(path) and not _is_extension(path, rest[path])}
    asked = {  # that a module, which will be in another folder, loads
        path
        for path in libraries
        for module in chosen
        if any(PurePosixPath(path).name.encode() in f.data for f in copies[module].values())
    }
    _refuse(
        asked | {path for path in libraries if _differs(rest[path])},
        "a shared library that is no extension module cannot be chosen by the torch that is there; "
        "link it statically",
    )
    _refuse(
        (path for path in chosen if PurePosixPath(path).name in {"__init__.py", "__main__.py"}),
        "differs from torch to torch, but a package is one for all; put what differs into a module",
    )
    _refuse(
        (path for path in chosen if _chooser(path) in rest),
        f"is replaced by a module of that name with the suffix .py, which {info.split('-')[0]} has "
        "already; rename one of them",
    )
    _refuse(
        (path for path, each in rest.items() if _differs(each)),
        "differs from torch to torch, and is no module; let the build write one for every torch",
    )


def merge(wheels: Mapping[str, Wheel], oldest: str) -> Wheel:
    """Return one wheel for all; `wheels` are by the minor versions of torch.

    `oldest` is the lowest minor version that the result may be installed beside.

    Raises:
        Unusable: the wheels are not of one package, or differ in what cannot be chosen.
    """
    first = next(iter(wheels.values()))
    for what in ("name", "tags", "info"):
        values = sorted({getattr(wheel, what) for wheel in wheels.values()})
        if len(values) > 1:
            raise Unusable(f"the wheels are not of one build: they are {' and '.join(values)}")
    metadata = f"{first.info}/METADATA"
    copies: dict[str, dict[str, File]] = {}
    for minor, wheel in wheels.items():
        for path, file in wheel.files.items():
            copies.setdefault(path, {})[minor] = file
    texts = {minor: file.data.decode() for minor, file in copies.pop(metadata).items()}
    chosen = {path for path, each in copies.items() if _is_chosen(path, each, len(wheels))}
    _check(copies, chosen, first.info)

    files = {metadata: File(merged_metadata(texts, oldest).encode())}
    for path, each in copies.items():
        if path not in chosen:
            files[path] = next(iter(each.values()))
            continue
        files[_chooser(path)] = CHOOSER
        files |= {_place(path, minor): file for minor, file in each.items()}
    return Wheel(first.name, first.tags, files)

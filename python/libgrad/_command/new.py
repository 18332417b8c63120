"""``python -m libgrad new NAME``: a package of C++ Functions, from ``template/``."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import keyword
import os
import re
import shutil
import sys
from pathlib import Path

from .callables import Unusable

__all__ = ["add_arguments", "command", "files"]

_TEMPLATE = Path(__file__).parent / "template"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument(
        "name", metavar="NAME", help="of the package; its module has _ where the name has -"
    )
    parser.add_argument("--path", metavar="FOLDER", help="to write it into (default: NAME)")


def files(name: str) -> dict[Path, str]:
    """Return the text of each file of the package `name`, by its place in the package.

    >>> sorted(path.name for path in files("my-cubes") if path.suffix == ".py")
    ['__init__.py', 'build_backend.py', 'test_my_cubes.py']
    """
    words = {"@distribution@": name, "@module@": _module(name)}

    def fill(text: str) -> str:
        return re.sub("@[a-z]+@", lambda word: words[word[0]], text)

    return {
        Path(fill(path.relative_to(_TEMPLATE).as_posix().removesuffix(".in"))): fill(
            path.read_text(encoding="utf-8")
        )
        for path in sorted(_TEMPLATE.rglob("*.in"))
    }


def _module(name: str) -> str:
    return name.replace("-", "_")


def _check_name(name: str) -> None:
    """Raise when a package cannot be called `name`, or would hide one that is installed."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*", name):
        raise Unusable(
            "NAME must be letters and digits, a letter first, in words joined by - or _, "
            f"but is {name!r}"
        )
    module = _module(name)
    if keyword.iskeyword(module):
        raise Unusable(f"NAME is {name!r}, a keyword of Python, which no module can be called")
    if where := _installed(module):
        raise Unusable(
            f"NAME is {name!r}, but there is a module {module} already ({where}), which the new "
            "one would hide; take another name"
        )
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return
    raise Unusable(
        f"NAME is {name!r}, but {name} {version} is installed, which the new one would replace; "
        "take another name"
    )


def _installed(module: str) -> str | None:
    """Return where `module` is, if it can be imported; the current folder does not count."""
    paths, here = sys.path[:], os.path.realpath(os.getcwd())
    try:
        sys.path[:] = [path for path in paths if path and os.path.realpath(path) != here]
        spec = importlib.util.find_spec(module)
    finally:
        sys.path[:] = paths
    if spec is None:
        return None
    return spec.origin or ", ".join(spec.submodule_search_locations or [])


def _check_folder(folder: Path) -> None:
    """Raise when there is something in the way at `folder`."""
    if folder.is_dir():
        if found := sorted(path.name for path in folder.iterdir()):
            raise Unusable(
                f"{folder} must be new or empty, but has {found[0]}"
                f"{' and more' if len(found) > 1 else ''}; pass another --path"
            )
    elif folder.exists() or folder.is_symlink():
        raise Unusable(f"{folder} must be a folder, but is a file; pass another --path")


def _write(folder: Path, texts: dict[Path, str]) -> None:
    """Write the files; where one cannot be written, leave none."""
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        if was_there:
            folder.mkdir()
        raise


def command(options: argparse.Namespace) -> int:
    """Write the package; return 0, or 2 when it cannot be."""
    folder = Path(options.path or options.name)
    try:
        _check_name(options.name)
        _check_folder(folder)
        _write(folder, files(options.name))
    except (Unusable, OSError) as error:
        print(f"libgrad new: {error}", file=sys.stderr)
        return 2
    print(f"{folder} is a package with a C++ Function, {_module(options.name)}.cube. Next:\n")
    print(f"    cd {folder}")
    print("    pip install '.[test]' && python -m pytest")
    return 0

"""``python -m libgrad wheel [PROJECT] --torch MINOR,MINOR``: one wheel for several torches."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ..._function.compiler import cache_dir
from ..callables import Unusable
from .archive import Wheel, write
from .build import build_for, check_project
from .merge import merge
from .metadata import minor_key
from .tag import check_tools, tagged
from .torches import INSTALLED, Torch, find, oldest

__all__ = ["add_arguments", "command"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("project", nargs="?", default=".", help="the folder of pyproject.toml (.)")
    parser.add_argument(
        *("--torch", "-t"),
        default=INSTALLED,
        metavar="MINOR,...",
        help=f"minor versions, or paths of torches ({INSTALLED}, which is installed)",
    )
    parser.add_argument("--out", "-o", default="dist", help="the folder of the wheel (dist)")
    parser.add_argument(
        "--plat", default="auto", help="the platform tag for auditwheel (auto); linux: without it"
    )
    parser.add_argument(
        "--cache", type=Path, help="where headers and libraries of torches are kept"
    )


def _torches(wanted: str, cache: Path) -> list[Torch]:
    """Return the torches, oldest first."""
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if not names:
        raise Unusable(f"--torch names no torch; give minor versions, such as {INSTALLED}")
    torches = sorted((find(name, cache) for name in names), key=lambda t: minor_key(t.minor))
    minors = [torch.minor for torch in torches]
    for minor in minors:
        if minors.count(minor) > 1:
            raise Unusable(f"--torch {wanted}: torch {minor} is there twice")
    return torches


def _built(project: Path, torches: list[Torch]) -> Wheel:
    with tempfile.TemporaryDirectory(prefix="libgrad-wheel-") as temporary:
        wheels = {}
        for torch in torches:
            folder = Path(temporary, torch.minor)
            folder.mkdir()
            wheels[torch.minor] = build_for(project, torch, folder)
        return merge(wheels, oldest())


def command(options: argparse.Namespace) -> int:
    """Build the wheel; return 0, or 2 when there is none."""
    try:
        project = Path(options.project).resolve()
        check_project(project)
        check_tools(options.plat)
        torches = _torches(options.torch, options.cache or cache_dir())
        wheel = tagged(_built(project, torches), options.plat)
        out = Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        path = write(wheel, out)
    except (Unusable, OSError) as error:
        print(f"libgrad wheel: {error}", file=sys.stderr)
        return 2
    minors = ", ".join(torch.minor for torch in torches)
    print(f"{path}: for torch {minors}; {path.stat().st_size / 1e6:.1f} MB")
    return 0

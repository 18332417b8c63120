"""The paths of the C++ side of the installed package."""

from __future__ import annotations

import os

from . import _C

__all__ = ["cmake_dir", "include_dir"]


def _find(relative: str) -> str:
    root = os.path.dirname(_C.__file__)  # in an editable install not the folder of the sources
    if os.path.basename(root).startswith("_torch_"):  # in a wheel for several torches
        root = os.path.dirname(root)
    path = os.path.join(root, relative)
    if os.path.isdir(path):
        return path
    raise FileNotFoundError(
        f"libgrad: {relative} is not below {root}; reinstall with `pip install .`"
    )


def include_dir() -> str:
    """Return the directory to put on the include path for ``#include <libgrad/...>``."""
    return _find("include")


def cmake_dir() -> str:
    """Return the directory of libgradConfig.cmake, for ``cmake -Dlibgrad_DIR=...``."""
    return _find(os.path.join("share", "cmake", "libgrad"))

"""Where the C++ side of the installed package lies."""

from __future__ import annotations

import os

__all__ = ["cmake_dir", "include_dir"]


def _find(relative: str) -> str:
    from . import __path__ as roots

    for root in roots:  # two of them in an editable install
        path = os.path.join(root, relative)
        if os.path.isdir(path):
            return path
    raise FileNotFoundError(
        f"libgrad: {relative} is not below {list(roots)}; reinstall with `pip install .`"
    )


def include_dir() -> str:
    """Return the directory to put on the include path for ``#include <libgrad/...>``."""
    return _find("include")


def cmake_dir() -> str:
    """Return the directory of libgradConfig.cmake, for ``cmake -Dlibgrad_DIR=...``."""
    return _find(os.path.join("share", "cmake", "libgrad"))

"""The text that ``python -m libgrad info`` prints."""

from __future__ import annotations

import os
import platform

import torch

from .. import _C, __version__, _build_info, cmake_dir, include_dir
from .._compat import torch_minors

__all__ = ["info"]


def _cuda() -> str:
    if torch.version.cuda is None:
        return "none (torch was built without)"
    if not torch.cuda.is_available():
        return f"{torch.version.cuda}, but no device is available"
    return f"{torch.version.cuda}, {torch.cuda.get_device_name()}"


def info() -> str:
    """Return versions and paths, one to a line."""
    lines = {
        "libgrad": __version__,
        "torch": f"{torch.__version__} (built with {_build_info.TORCH_VERSION})",
        "built for": f"torch {', '.join(torch_minors())}",
        "pybind11": f"{_C.pybind11_version} (torch's copy)",
        "compiler": _build_info.COMPILER,
        "CUDA": _cuda(),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "extension": os.path.realpath(_C.__file__),
        "headers": include_dir(),
        "CMake package": cmake_dir(),
    }
    return "\n".join(f"{name:<14} {value}" for name, value in lines.items())

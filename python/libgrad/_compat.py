"""Check that torch has a version that libgrad was built for, before anything else is loaded."""

from __future__ import annotations

import os

__all__ = ["FUNCTION_NEEDS", "check_torch", "torch_minors"]

FUNCTION_NEEDS = "2.13"  # the first torch in which a node owns the ctx of a libgrad.Function


def torch_minors() -> list[str]:
    """Return the minor versions of torch that this install has an extension for, oldest first."""
    here = os.path.dirname(__file__)
    folders = [name for name in os.listdir(here) if name.startswith("_torch_")]
    if folders:  # a wheel for several: python -m libgrad wheel
        minors = sorted(tuple(map(int, name.split("_")[2:])) for name in folders)
        return [".".join(map(str, minor)) for minor in minors]
    from ._build_info import TORCH_MINOR

    return [TORCH_MINOR]


def check_torch() -> None:
    """Import torch; raise ImportError when its minor version is none of the build's.

    ``LIBGRAD_SKIP_TORCH_CHECK=1`` skips the check, at your own risk.
    """
    try:
        minors = torch_minors()
    except ModuleNotFoundError as error:
        raise ImportError(
            "libgrad's extension is not built: this is the source tree. Run\n"
            "    pip install .\n"
            "there, and start Python elsewhere."
        ) from error
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            "libgrad needs torch, which is not installed. Run\n"
            f"    pip install 'torch=={minors[-1]}.*'"
        ) from error

    found = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    if found in minors or os.environ.get("LIBGRAD_SKIP_TORCH_CHECK") == "1":
        return
    raise ImportError(
        f"libgrad was built for torch {', '.join(minors)}, but torch {torch.__version__} is"
        f" installed ({os.path.dirname(torch.__file__)}). Run\n"
        f"    pip install 'torch=={minors[-1]}.*'\n"
        "or, in libgrad's sources, build it for the torch you have:\n"
        "    pip install ."
    )

"""Check that torch has the version that libgrad was built for, before anything else is loaded."""

from __future__ import annotations

import os


def check_torch() -> None:
    """Import torch; raise ImportError when its minor version is not the build's.

    ``LIBGRAD_SKIP_TORCH_CHECK=1`` skips the check, at your own risk.
    """
    try:
        from ._build_info import TORCH_MINOR
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
            f"    pip install 'torch=={TORCH_MINOR}.*'"
        ) from error

    found = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    if found == TORCH_MINOR or os.environ.get("LIBGRAD_SKIP_TORCH_CHECK") == "1":
        return
    raise ImportError(
        f"libgrad was built for torch {TORCH_MINOR}, but torch {torch.__version__} is installed"
        f" ({os.path.dirname(torch.__file__)}). Run\n"
        f"    pip install 'torch=={TORCH_MINOR}.*'\n"
        "or, in libgrad's sources, build it for the torch you have:\n"
        "    pip install ."
    )

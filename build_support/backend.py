"""The build backend: scikit-build-core, which is told what torch to build with.

In isolation, too, that is the torch of the environment that libgrad is installed into, where it
lies. Only where there is none is torch a requirement of the build.
"""

from __future__ import annotations

import os

import torch_pin
from scikit_build_core import build as core
from scikit_build_core.build import build_sdist, get_requires_for_build_sdist
from torch_found import Torch, Unusable, find

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

Settings = dict[str, str | list[str]] | None
DEFINE = "cmake.define.LIBGRAD_TORCH_DIR"


def _find(settings: Settings) -> tuple[Torch | None, str]:
    """Return the torch to build with, or None and what to require."""
    given = (settings or {}).get(DEFINE) or (settings or {}).get(f"skbuild.{DEFINE}")
    values = [given] if isinstance(given, str) else given or []  # a list when it is given twice
    others = {key: value for key, value in (settings or {}).items() if not key.endswith(DEFINE)}
    for name in ("CMAKE_ARGS", "SKBUILD_CMAKE_ARGS", "SKBUILD_CMAKE_DEFINE"):
        others[name] = os.environ.get(name, "")
    try:
        for name, value in others.items():
            if "LIBGRAD_TORCH_DIR" in str(value):
                raise Unusable(
                    f"{name} sets LIBGRAD_TORCH_DIR, where the build cannot see it in time. Set "
                    f"the environment variable LIBGRAD_TORCH, or the config setting {DEFINE}"
                )
        return find(values[-1] if values else os.environ.get("LIBGRAD_TORCH", ""))
    except Unusable as error:
        raise SystemExit(f"libgrad: {error}.") from None


def _required(settings: Settings) -> list[str]:
    torch, otherwise = _find(settings)
    return [] if torch else [otherwise]


def _chosen(settings: Settings) -> dict[str, str | list[str]]:
    """Return the settings with the torch that was found, which the result will require."""
    torch, otherwise = _find(settings)
    if torch is None:
        raise SystemExit(
            f"libgrad: there is no torch to build with. Run\n    pip install '{otherwise}'\nor "
            "build with isolation."
        )
    torch_pin.minor = torch.minor
    rest = {key: value for key, value in (settings or {}).items() if not key.endswith(DEFINE)}
    return {**rest, DEFINE: str(torch.directory)}


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return scikit-build-core's requirements, and torch where there is none."""
    return core.get_requires_for_build_wheel(config_settings) + _required(config_settings)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """Return scikit-build-core's requirements, and torch where there is none."""
    return core.get_requires_for_build_editable(config_settings) + _required(config_settings)


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the metadata of the wheel."""
    return core.prepare_metadata_for_build_wheel(metadata_directory, _chosen(config_settings))


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    """Write the metadata of an editable install."""
    return core.prepare_metadata_for_build_editable(metadata_directory, _chosen(config_settings))


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel."""
    return core.build_wheel(wheel_directory, _chosen(config_settings), metadata_directory)


def build_editable(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the wheel of an editable install."""
    return core.build_editable(wheel_directory, _chosen(config_settings), metadata_directory)

"""Metadata provider for scikit-build-core: a wheel demands the torch minor it was built with."""

from __future__ import annotations

from torch_found import supported

minor = ""  # set by backend.py; a source distribution has none


def dynamic_metadata(settings: object, project: object) -> dict[str, list[str]]:
    """Return the dependencies of the wheel that is being built."""
    return {"dependencies": [f"torch=={minor}.*" if minor else f"torch>={supported()[0]}"]}


def dynamic_wheel(settings: object) -> dict[str, bool]:
    """Return which fields may differ between the sdist and its wheels."""
    return {"dependencies": True}

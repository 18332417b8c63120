"""Metadata provider for scikit-build-core: a wheel demands the torch minor it was built with."""

from __future__ import annotations

from importlib.metadata import version


def dynamic_metadata(settings: object, project: object) -> dict[str, list[str]]:
    """Return the dependencies of the wheel that is being built."""
    major, minor = version("torch").split("+")[0].split(".")[:2]
    return {"dependencies": [f"torch=={major}.{minor}.*"]}


def dynamic_wheel(settings: object) -> dict[str, bool]:
    """Return which fields may differ between the sdist and its wheels."""
    return {"dependencies": True}

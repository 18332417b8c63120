"""Cubes, differentiable as often as you like."""

from __future__ import annotations

import libgrad as _  # noqa: F401  -- loads torch, whose libraries cube is linked to

from .cube import cube

__all__ = ["cube"]

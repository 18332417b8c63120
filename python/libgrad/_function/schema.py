"""The schema of an operator, from the arguments of a C++ Function."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any


def schema(
    name: str,
    names: Sequence[str],
    types: Sequence[str],
    parameters: Sequence[tuple[Any, ...]],
    mutated: Sequence[int],
    single: bool,
) -> str | None:
    """Return the schema of operator `name`; None where an argument has a type no operator takes.

    >>> schema("scale", ["x", "by"], ["Tensor", "float"], [("x", False), ("by", True, 2)], [], True)
    'scale(Tensor x, *, float by=2.0) -> Tensor'
    """
    if not all(types):
        return None
    aliases = {place: chr(ord("a") + i) for i, place in enumerate(mutated)}
    defaults = [
        _default(type_, parameter[2]) if len(parameter) > 2 else None
        for type_, parameter in zip(types, parameters, strict=True)
    ]
    # Positional arguments before one without a default (or whose default a schema cannot express)
    # cannot have defaults.
    ends = [i for i, d in enumerate(defaults) if d is None and not parameters[i][1]]
    first = ends[-1] if ends else 0
    parts: list[str] = []
    keyword_only = False
    for place, (type_, argument, parameter) in enumerate(
        zip(types, names, parameters, strict=True)
    ):
        if parameter[1] and not keyword_only:
            keyword_only = True
            parts.append("*")
        if place in aliases:
            type_ = type_.replace("Tensor", f"Tensor({aliases[place]}!)", 1)
        default = defaults[place] if place >= first or keyword_only else None
        parts.append(f"{type_} {argument}" + (f"={default}" if default else ""))
    result = "Tensor" if single else "Tensor[]"
    if single and len(mutated) == 1:
        result = "Tensor(a!)"
    return f"{name}({', '.join(parts)}) -> {result}"


def _default(type_: str, value: Any) -> str | None:
    """Return `value` as a schema writes it, or None where a schema cannot."""
    base = type_.removesuffix("?")
    if "complex" in base:  # torch parses complex defaults wrongly
        return None
    if value is None:
        return "None"
    if isinstance(value, bool):
        return str(value)
    if base in ("int[]", "float[]", "bool[]") and isinstance(value, list | tuple):
        items = [_default(base.removesuffix("[]"), item) for item in value]
        return None if None in items else f"[{', '.join(filter(None, items))}]"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return repr(float(value) if base == "float" else value)
    return None

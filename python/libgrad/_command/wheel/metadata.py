"""The METADATA of a wheel that works with several torches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..callables import Unusable

__all__ = ["merged_metadata", "minor_key", "requirement"]

TORCH = re.compile(r"Requires-Dist:\s*torch(?![\w.-])\s*(\[[^\]]*\])?[^;]*(;.*)?", re.IGNORECASE)
EXTRA = re.compile(r"\bextra\s*==")


def minor_key(minor: str) -> tuple[int, ...]:
    """Return (2, 9) for "2.9", to sort by."""
    return tuple(map(int, minor.split(".")))


def requirement(oldest: str, newest: str) -> str:
    """Return "torch>=2.1,<2.10" for "2.1" and "2.9"."""
    major, minor = minor_key(newest)
    return f"torch>={oldest},<{major}.{minor + 1}"


def _replaced(text: str, needed: str) -> str:
    """Return a METADATA that requires `needed` where it required a torch."""
    head, blank, description = text.partition("\n\n")
    lines, always = [], False
    for line in head.rstrip("\n").split("\n"):
        found = TORCH.fullmatch(line)
        if found is None:
            lines.append(line)
            continue
        extras, marker = found[1] or "", found[2] or ""
        always = always or not EXTRA.search(marker)
        name, specifier = needed[:5], needed[5:]
        line = f"Requires-Dist: {name}{extras}{specifier}{' ' * bool(marker)}{marker}"
        if line not in lines:
            lines.append(line)
    if not always:  # the extension is linked to it, whatever the package says
        lines.append(f"Requires-Dist: {needed}")
    return "\n".join(lines) + (blank or "\n") + description


def _first_difference(texts: Iterable[str]) -> str:
    for lines in zip(*(text.split("\n") for text in texts), strict=False):
        if len(set(lines)) > 1:
            return " and ".join(repr(line) for line in dict.fromkeys(lines))
    return "one is longer than another"


def merged_metadata(texts: Mapping[str, str], oldest: str) -> str:
    """Return the METADATA for all torches whose minor versions are the keys of `texts`.

    Raises:
        Unusable: the texts differ in more than in what they require of torch.
    """
    needed = requirement(oldest, max(texts, key=minor_key))
    results = [_replaced(text, needed) for text in texts.values()]
    if len(set(results)) > 1:
        raise Unusable(
            "METADATA differs in more than what it requires of torch: "
            f"{_first_difference(results)}; let the build write the same for every torch"
        )
    return results[0]

"""Headers in chains, so that one run of the compiler checks that several stand alone.

A header of a chain is included after headers that it includes itself. It sees nothing of them that
it would not see alone, so the compiler says of it what it would say of the header alone; only less
of torch is read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

LEADING = re.compile(r"(?:\s|//[^\n]*\n|#pragma once\n|#include <[^>]*>)*")


def leading_includes(path: Path) -> list[str]:
    """The includes of a header that stand in front of all else; others may depend on macros."""
    leading = LEADING.match(path.read_text(encoding="utf-8"))[0]
    return re.findall(r"^#include <(.*)>", leading, re.MULTILINE)


def behind(includes: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """The headers that each includes, directly or not."""
    found: dict[str, set[str]] = {}

    def visit(header: str) -> set[str]:
        if header not in found:
            direct = [name for name in includes[header] if name in includes]
            found[header] = set(direct).union(*map(visit, direct))
        return found[header]

    for header in includes:
        visit(header)
    return found


def chains(includes: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The fewest chains that hold each header once, by a matching of each to the next.

    In a chain every header includes, directly or not, all those in front of it.
    """
    inner = behind(includes)
    headers = sorted(includes, key=lambda header: (len(inner[header]), header))
    before: dict[str, str] = {}

    def place(header: str, tried: set[str]) -> bool:
        """Put `header` in front of another one, moving what is there if need be."""
        for other in headers:
            if header in inner[other] and other not in tried:
                tried.add(other)
                if other not in before or place(before[other], tried):
                    before[other] = header
                    return True
        return False

    for header in headers:
        place(header, set())
    after = {inside: header for header, inside in before.items()}
    made = [[header] for header in headers if header not in before]
    for chain in made:
        while chain[-1] in after:
            chain.append(after[chain[-1]])
    return made

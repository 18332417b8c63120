"""Write the docstrings of the extension's stubs as a C++ header: docstrings.py OUT [MODULE=]STUB...

The stubs are where the documentation stands, once. `csrc/bindings/docs.cpp` gives what it finds in
the header to the functions, classes, methods and properties of the extension.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT = 8000  # bytes of one C++ string literal that every compiler takes


def signature(function: ast.FunctionDef) -> str:
    """Return "(outputs, inputs, create_graph=False)": the signature without types."""
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return f"({ast.unparse(function.args)})"


def is_property(function: ast.FunctionDef) -> bool:
    """Return whether the stub declares a property."""
    return any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list)


def documented(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and docstring, below a line with the signature where Python wants one."""
    for item in body:
        if not isinstance(item, (ast.ClassDef, ast.FunctionDef)) or item.name.startswith("_"):
            continue
        name, doc = prefix + item.name, ast.get_docstring(item)
        if doc and isinstance(item, ast.FunctionDef) and not is_property(item):
            doc = f"{item.name}{signature(item)}\n--\n\n{doc}\n"
        if doc:
            yield name, doc
        if isinstance(item, ast.ClassDef):
            yield from documented(item.body, f"{name}.")


def literal(text: str) -> str:
    """Return `text` as a C++ string literal."""
    data = text.encode()
    parts = []
    while data:
        end = min(len(data), LIMIT)
        while end < len(data) and data[end] & 0xC0 == 0x80:  # in the middle of a character
            end -= 1
        parts.append(f'R"~({data[:end].decode()})~"')
        data = data[end:]
    return "\n".join(parts)


def main(out: str, *stubs: str) -> None:
    """Write the header."""
    rows = []
    for stub in stubs:
        module, _, path = stub.rpartition("=")
        body = ast.parse(Path(path).read_text(encoding="utf-8")).body
        prefix = module and f"{module}."
        rows += [f'    {{"{n}",\n{literal(d)}}},' for n, d in documented(body, prefix)]
    lines = "\n".join(rows)
    text = f"""/// Docstrings by the names of what they are about; made of the stubs.

#pragma once

struct Docstring {{
  const char* name;
  const char* text;
}};

constexpr Docstring kDocstrings[] = {{
{lines}
}};
"""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

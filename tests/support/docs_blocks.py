"""The blocks of code in README.md and docs/, and the program of those that are C++."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from support.consumer import build
from support.paths import DOCS, ROOT

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

COMMENT = {"python": re.compile(r"(?:^|\s)# ?(.*)$"), "cpp": re.compile(r"(?:^|\s)// ?(.*)$")}
PRINTS = {"python": re.compile(r"\bprint\w*\("), "cpp": re.compile(r"\bstd::cout\b|'\\n'")}
NOT_RUN = {"console", "text", "cmake", "toml"}

PRELUDE = """\
#include <libgrad/libgrad.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <iostream>
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
"""
CMAKELISTS = """\
cmake_minimum_required(VERSION 3.18...4.1)
project(docs LANGUAGES CXX)
find_package(libgrad CONFIG REQUIRED)
add_executable(docs docs.cpp)
target_link_libraries(docs PRIVATE libgrad::libgrad)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: the page, the line its code starts at, and the code."""

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_whole_source(self) -> bool:
        if self.language in NOT_RUN:
            whole = r"\Acmake_minimum_required|\A\[build-system\]|\Aimport (libgrad|cubes)\b"
        else:
            whole = r"\bPYBIND11_MODULE\b|\bint main\b"
        return re.search(whole, self.code) is not None

    @property
    def expected(self) -> list[str]:
        """The lines that the comments promise."""
        promised = []
        taking = False  # is the line, or the one that these comments are below, one that prints?
        for line in self.code.splitlines():
            comment = COMMENT[self.language].search(line)
            code = line[: comment.start()] if comment else line
            if code.strip() or not comment:
                taking = PRINTS[self.language].search(code) is not None
            if taking and comment:
                promised.append(comment[1].rstrip())
        return promised


def read_blocks(page: Path, language: str | None = None) -> list[Block]:
    """Return the blocks of a page that are to be run, or those of one language."""
    name = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    blocks = []
    kind, start, code = None, 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```\s*(\S*)", line)
        if not fence:
            code.append(line)
        elif kind is None:
            kind, start, code = fence[1], number + 1, []
            if kind not in COMMENT and kind not in NOT_RUN:
                raise ValueError(f"{name}:{number}: what is a block of {kind!r}?")
        else:
            if language == kind or (language is None and kind in COMMENT):
                blocks.append(Block(name, start, kind, textwrap.dedent("\n".join(code))))
            kind = None
    if kind is not None:
        raise ValueError(f"{name}:{start - 1}: this block is never closed")
    return blocks


def runnable(language: str) -> dict[str, list[Block]]:
    """The blocks of each page that are to be run in `language`; pages without any are left out."""
    return {
        blocks[0].page: blocks
        for page in PAGES
        if (blocks := [b for b in read_blocks(page, language) if not b.is_whole_source])
    }


def cpp_program(pages: list[list[Block]]) -> str:
    """One program that runs the blocks of page argv[1], with a form feed after what each prints."""
    includes, functions, calls = [], [], []
    for p, blocks in enumerate(pages):
        calls.append(f"case {p}:")
        for n, block in enumerate(blocks):
            lines = block.code.splitlines()
            includes += [line for line in lines if line.startswith("#include")]
            body = ["" if line.startswith("#include") else line for line in lines]
            line_directive = f'#line {block.line} "{block.page}"'  # for the compiler's messages
            functions += [f"void block_{p}_{n}() {{", line_directive, *body, "}"]
            calls += [
                "std::cout.copyfmt(std::ios(nullptr));",
                f"block_{p}_{n}();",
                r"std::cout << '\f' << std::flush;",
            ]
        calls.append("break;")
    main = ["int main(int, char** argv) {", "switch (std::stoi(argv[1])) {", *calls, "}", "}", ""]
    return "\n".join([*dict.fromkeys(includes), PRELUDE, *functions, *main])


def build_cpp(pages: list[list[Block]], folder: Path) -> Path:
    """The program of the pages, built in `folder` as a consumer of the installed package."""
    (folder / "docs.cpp").write_text(cpp_program(pages), encoding="utf-8")
    (folder / "CMakeLists.txt").write_text(CMAKELISTS, encoding="utf-8")
    return build(folder, folder / "build") / "docs"

"""Run every block of code in README.md and docs/*.md; it must print what its comments say.

What a block is expected to print stands in the comment behind the line that prints, or in the
comment lines directly below that line; a blank line ends them::

    print(x.grad)  # tensor([2., 4.])
    libgrad.print_graph(x)
    # AccumulateGrad  float32 [2]

``python`` blocks of a page share one namespace, in order. ``cpp`` blocks of a page become one
function each of one program, built with the installed package; their ``#include`` lines go to its
top. A ``cpp`` block with PYBIND11_MODULE or main() is a whole source: it must be found, word for
word, in a file of examples/. So must a ``cmake``, ``toml`` or ``text`` block that starts as a whole
file does; else these, and ``console`` blocks, are not looked at. There are no other kinds.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

import libgrad

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

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


def run_python(blocks: list[Block]) -> list[str]:
    """Run the blocks in one namespace; return what each printed."""
    namespace = {"__name__": "__main__"}
    outputs = []
    for block in blocks:
        lines = "\n" * (block.line - 1) + block.code  # tracebacks show the page's line numbers
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(lines, block.page, "exec", dont_inherit=True), namespace)
        outputs.append(output.getvalue())
    return outputs


def cpp_program(blocks: list[Block]) -> str:
    """Return one program that runs the blocks, with a form feed after the output of each."""
    includes, functions, calls = [], [], []
    for n, block in enumerate(blocks):
        lines = block.code.splitlines()
        includes += [line for line in lines if line.startswith("#include")]
        body = ["" if line.startswith("#include") else line for line in lines]
        line_directive = f'#line {block.line} "{block.page}"'  # for the compiler's messages
        functions += [f"void block_{n}() {{", line_directive, *body, "}"]
        calls += [
            "std::cout.copyfmt(std::ios(nullptr));",
            f"block_{n}();",
            r"std::cout << '\f' << std::flush;",
        ]
    return "\n".join([*includes, PRELUDE, *functions, "int main() {", *calls, "}", ""])


def run(*command: str | Path) -> str:
    """Run a command and return its standard output; fail with all it said when it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}"
        pytest.fail(f"{command[0]} exited with {done.returncode}:\n{said}", pytrace=False)
    return done.stdout


def run_cpp(blocks: list[Block], folder: Path) -> list[str]:
    """Build the blocks in `folder` as a consumer of the installed package; run them."""
    (folder / "docs.cpp").write_text(cpp_program(blocks), encoding="utf-8")
    (folder / "CMakeLists.txt").write_text(CMAKELISTS, encoding="utf-8")
    build = folder / "build"
    run(
        *("cmake", "-G", "Ninja", "-S", folder, "-B", build),
        *("-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O0"),  # quick to build
        f"-Dlibgrad_DIR={libgrad.cmake_dir()}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    run("cmake", "--build", build)
    *outputs, rest = run(build / "docs").split("\f")
    assert rest == ""
    return outputs


def compare(blocks: list[Block], outputs: list[str]) -> None:
    """Fail with every block whose output is not what its comments promise."""
    wrong = []
    for block, output in zip(blocks, outputs, strict=True):
        got = [line.rstrip() for line in output.splitlines()]
        if got != block.expected:
            expected = "\n".join(block.expected) or "(nothing)"
            wrong.append(
                f"{block}\nexpected:\n{expected}\ngot:\n" + ("\n".join(got) or "(nothing)")
            )
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


def page_params(language: str) -> list[object]:
    """Return the pages with blocks to run in `language`, as parameters of a test."""
    return [
        pytest.param(blocks, id=blocks[0].page)
        for page in PAGES
        if (blocks := [b for b in read_blocks(page, language) if not b.is_whole_source])
    ]


@pytest.mark.parametrize("blocks", page_params("python"))
def test_python_blocks_print_what_they_say(blocks):
    compare(blocks, run_python(blocks))


@pytest.mark.parametrize("blocks", page_params("cpp"))
def test_cpp_blocks_print_what_they_say(blocks, tmp_path):
    compare(blocks, run_cpp(blocks, tmp_path))


@pytest.mark.parametrize("language", ["cpp", "cmake", "toml", "text"])
def test_whole_sources_are_the_examples(language):
    patterns = "*.cpp", "*.txt", "*.toml", "*.py"
    files = [path for pattern in patterns for path in ROOT.glob(f"examples/*/**/{pattern}")]
    examples = [path.read_text(encoding="utf-8") for path in files]
    wholes = [b for page in PAGES for b in read_blocks(page, language) if b.is_whole_source]
    assert wholes
    for block in wholes:
        found = any(block.code.strip() in example for example in examples)
        assert found, f"{block}: no file of examples/ holds this text"


@pytest.mark.parametrize("language", ["python", "cpp"])
def test_autograd_page_has_its_blocks(language):
    assert len(read_blocks(ROOT / "docs" / "autograd.md", language)) >= 10


@pytest.mark.parametrize(
    ("code", "got"),
    [
        ("print(1 + 1)  # 3", "2"),
        ("print(1 + 1)", "2"),
        ("pass\nprint(end='')  # 2", ""),
        ("print('1\\n2')\n# 1", "1\n2"),
        ("print('1\\n2')\n# 1\n\n# 2", "1\n2"),
    ],
    ids=["another output", "no comment", "no output", "a line missing", "a blank line before it"],
)
def test_wrong_expectation_fails(code, got, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"text\n```python\n{code}\n```\n", encoding="utf-8")
    blocks = read_blocks(page)
    outputs = run_python(blocks)
    assert outputs[0].rstrip("\n") == got
    with pytest.raises(pytest.fail.Exception, match=r"page\.md:3\nexpected:"):
        compare(blocks, outputs)


def test_wrong_cpp_expectation_fails():
    block = Block("page.md", 3, "cpp", "std::cout << 1 + 1 << '\\n';  // 2")
    compare([block], ["2\n"])
    with pytest.raises(pytest.fail.Exception, match="expected:\n2\ngot:\n3"):
        compare([block], ["3\n"])


@pytest.mark.parametrize("text", ["```py\n```\n", "```\n```\n", "```python\n"])
def test_strange_block_is_refused(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:1"):
        read_blocks(page)

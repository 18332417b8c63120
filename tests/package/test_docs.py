"""Run every block of code in README.md and docs/*.md; it must print what its comments say.

What a block is expected to print stands in the comment behind the line that prints, or in the
comment lines directly below that line; a blank line ends them::

    print(x.grad)  # tensor([2., 4.])
    libgrad.print_graph(x)
    # AccumulateGrad  float32 [2]

``python`` blocks of a page share one namespace, in order. ``cpp`` blocks of all pages become one
function each of one program, built with the installed package; their ``#include`` lines go to its
top, and it is run once for each page. A ``cpp`` block with PYBIND11_MODULE or main() is a whole
source: it must be found, word for word, in a file of examples/. So must a ``cmake``, ``toml`` or
``text`` block that starts as a whole file does; else these, and ``console`` blocks, are not looked
at. There are no other kinds.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from support.consumer import run
from support.docs_blocks import PAGES, Block, read_blocks, runnable
from support.paths import DOCS, EXAMPLES

CPP = runnable("cpp")


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


def run_cpp(program: Path, page: int) -> list[str]:
    """Return what each block of a page printed."""
    *outputs, rest = run(program, str(page)).split("\f")
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


@pytest.mark.parametrize("page", runnable("python"))
def test_python_blocks_print_what_they_say(page):
    blocks = runnable("python")[page]
    compare(blocks, run_python(blocks))


@pytest.mark.parametrize("page", CPP)
def test_cpp_blocks_print_what_they_say(page, docs_program):
    compare(CPP[page], run_cpp(docs_program, list(CPP).index(page)))


@pytest.mark.parametrize("language", ["cpp", "cmake", "toml", "text"])
def test_whole_sources_are_the_examples(language):
    patterns = "*.cpp", "*.txt", "*.toml", "*.py"
    files = [path for pattern in patterns for path in EXAMPLES.glob(f"*/**/{pattern}")]
    examples = [path.read_text(encoding="utf-8") for path in files]
    wholes = [b for page in PAGES for b in read_blocks(page, language) if b.is_whole_source]
    assert wholes
    for block in wholes:
        found = any(block.code.strip() in example for example in examples)
        assert found, f"{block}: no file of examples/ holds this text"


@pytest.mark.parametrize("language", ["python", "cpp"])
def test_autograd_page_has_its_blocks(language):
    assert len(read_blocks(DOCS / "autograd.md", language)) >= 10


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

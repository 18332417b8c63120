"""Run every block of code in README.md and docs/; it must print what its comments say.

What a block is expected to print stands in the comment behind the line that prints, or in the
comment lines directly below that line; a blank line ends them::

    print(x.grad)  # tensor([2., 4.])
    libgrad.print_graph(x)
    # AccumulateGrad  float32 [2]

``python`` blocks of a page share one namespace, in order. ``cpp`` blocks of all pages become one
function each of one program, built with the installed package; their ``#include`` lines go to its
top, and it is run once for each page. A ``cpp`` block with PYBIND11_MODULE or main() is a whole
source: it must be found, word for word, in a file of examples/ or of the package that
``python -m libgrad new cubes`` writes. So must a ``cmake``, ``toml`` or ``text`` block that starts
as a whole file does; else these, and ``console`` blocks, are not looked at. There are no other
kinds.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
from support.consumer import run
from support.docs_blocks import PAGES, Block, read_blocks, runnable
from support.paths import BENCHMARKS, DOCS, EXAMPLES, ROOT, TESTS

from libgrad._command.new import files

CPP = runnable("cpp")
LINKED = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(page for folder in (DOCS, BENCHMARKS) for page in sorted(folder.rglob("*.md"))),
    *(folder / "README.md" for folder in (EXAMPLES, TESTS)),
]


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


@pytest.mark.fresh  # some warnings are given once
@pytest.mark.parametrize("page", runnable("python"))
def test_python_blocks_print_what_they_say(page):
    blocks = runnable("python")[page]
    compare(blocks, run_python(blocks))


@pytest.mark.parametrize("page", CPP)
def test_cpp_blocks_print_what_they_say(page, docs_program):
    compare(CPP[page], run_cpp(docs_program, list(CPP).index(page)))


@pytest.mark.parametrize("language", ["cpp", "cmake", "toml", "text"])
def test_whole_sources_are_the_examples(language):
    paths = [path for pattern in ("*.cpp", "*.txt") for path in EXAMPLES.glob(f"*/{pattern}")]
    examples = [*(path.read_text(encoding="utf-8") for path in paths), *files("cubes").values()]
    wholes = [b for page in PAGES for b in read_blocks(page, language) if b.is_whole_source]
    assert wholes
    for block in wholes:
        found = any(block.code.strip() in example for example in examples)
        assert found, f"{block}: no file of examples/ or of a new package holds this text"


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


def anchors(page: Path) -> set[str]:
    """What a link may have behind its `#`: the headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)


def links(page: Path) -> list[str]:
    """The targets of the links and pictures of a page that are files of the repository."""
    text = re.sub(r"`[^`]*`", "code", prose(page))
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_pictures_are_there(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("index", [ROOT / "README.md", DOCS / "README.md"], ids=["first", "docs"])
def test_index_has_every_page(index):
    linked = {(index.parent / link).resolve() for link in links(index)}
    pages = set(DOCS.glob("*.md")) - {DOCS / "README.md"}
    assert pages <= linked


def test_wrong_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A page\n[a](#a-page) `[](b)` ![c](c.svg)\n```cpp\n[](d)\n```\n", "utf-8")
    assert links(page) == ["#a-page", "c.svg"]
    assert anchors(page) == {"a-page"}
    with pytest.raises(AssertionError, match=r"c\.svg"):
        test_links_and_pictures_are_there(page)

"""The pictures of a Graph, compared letter for letter with the files of expected/.

``LIBGRAD_UPDATE_EXPECTED=1`` writes the files instead; look at what has changed before it is kept.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from graph.graphs import GRAPHS, MARKUP, encoder, kinds, layers, leaf, markup, mlp
from support.operators import same_attention
from support.paths import MADE

import libgrad

sys.path.insert(0, str(MADE))
import pictures

EXPECTED = Path(__file__).parent / "expected"


DRAW: dict[str, Callable[[libgrad.Graph], str]] = {
    "txt": lambda g: g.text() + "\n",
    "dot": lambda g: g.to_dot(fold="repeats" if len(g) > 80 else "auto"),
    "svg": lambda g: g.to_svg(fold="repeats" if len(g) > 80 else "auto"),
    "json": lambda g: g.to_json(),
    "html": lambda g: g.to_html(title="A <graph>"),
}
CASES = [(name, kind) for name in GRAPHS for kind in ("txt", "dot", "svg")]
CASES += [("stale", "json"), ("kinds", "json"), ("markup", "json"), ("names", "json")]
CASES += [("stale", "html")]


def without_numbers(text: str) -> str:
    """Without the sequence numbers, which go on from test to test."""
    text = re.sub(r'"sequence_nr": \d+', '"sequence_nr": 1', text)
    text = re.sub(r'"thread": \d+', '"thread": 1', text)
    return re.sub(r"number [\d,]+ of its thread", "number 1 of its thread", text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param(*case, marks=[same_attention] if case[0] == "encoder" else []) for case in CASES],
)
def test_picture_is_the_expected_one(name, kind):
    drawn = without_numbers(DRAW[kind](GRAPHS[name]()))
    path = EXPECTED / f"{name}.{kind}"
    if os.environ.get("LIBGRAD_UPDATE_EXPECTED") == "1":
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[same_attention] if name.startswith(("block", "gpt2")) else [])
        for name in pictures.PICTURES
    ],
)
def test_picture_of_the_docs_is_what_is_drawn_today(name):
    path = MADE / name
    assert without_numbers(pictures.PICTURES[name]()) == without_numbers(path.read_text("utf-8"))


def test_every_expected_file_has_its_case():
    assert sorted(p.name for p in EXPECTED.glob("*.*")) == sorted(f"{n}.{k}" for n, k in CASES)


@pytest.mark.parametrize("name", GRAPHS)
def test_svg_is_xml_and_its_boxes_do_not_touch(name):
    root = ElementTree.fromstring(GRAPHS[name]().to_svg())
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    boxes = []
    for group in root.iter(f"{space}g"):
        rects = [r for r in group.findall(f"{space}rect") if r.get("rx") == "5"]
        if rects and not group.findall(f"{space}g"):  # not around a bundle of leaves
            boxes.append([float(rects[-1].get(k)) for k in ("x", "y", "width", "height")])
    assert len(boxes) == len(GRAPHS[name]())
    if name != "wide":  # leaves of a bundle are placed within it
        for i, (x, y, w, h) in enumerate(boxes):
            for ox, oy, ow, oh in boxes[:i]:
                assert x >= ox + ow or ox >= x + w or y >= oy + oh or oy >= y + h


QUOTED = r'"(?:[^"\\]|\\.)*"'
VALUE = rf"(?:{QUOTED}|[A-Za-z0-9_.#-]+)"
ATTRIBUTES = rf"\[{VALUE}={VALUE}(?:, {VALUE}={VALUE})*\]"
STATEMENT = re.compile(
    rf" *(?:\w+ {ATTRIBUTES}|\w+ -> \w+(?: {ATTRIBUTES})?|subgraph \w+ {{|label={QUOTED}|}})"
)


def check_dot(text: str) -> None:
    first, *lines, last = text.splitlines()
    assert (first, last) == ("digraph {", "}")
    for line in lines:
        assert STATEMENT.fullmatch(line), line


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("saved", ["marks", "rows", "none"])
def test_dot_is_of_its_grammar(name, saved):
    text = GRAPHS[name]().to_dot(saved=saved, fold="repeats", title=MARKUP)
    check_dot(text)
    if shutil.which("dot"):
        done = subprocess.run(["dot", "-Tplain"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_json_says_what_the_snapshot_says():
    g = kinds()
    data = json.loads(g.to_json())
    assert data["nbytes"] == g.nbytes
    assert data["exclusive_nbytes"] == g.exclusive_nbytes
    assert [n["name"] for n in data["nodes"]] == [n.name for n in g.nodes]
    for there, here in zip(data["nodes"], g.nodes, strict=True):
        for key in ("id", "kind", "leaf", "note", "nbytes", "order", "op", "module", "file"):
            assert there[key] == getattr(here, key)
        number = None if here.kind == "leaf" else here.sequence_nr
        assert there["sequence_nr"] == number
        assert [e["to"] for e in there["edges"]] == [n[0] for n in here.next if n is not None]
        for left, right in zip(there["saved"], here.saved, strict=True):
            for key in ("field", "state", "nbytes", "version", "stale", "storage", "is_output"):
                assert left[key] == getattr(right, key)
            assert tuple(left["shape"] or ()) == tuple(right.shape or ())
    assert list(data["nodes"][0])[:3] == ["id", "name", "kind"]


def test_names_are_never_markup():
    g = markup()
    for text in (g.to_svg(), g.to_html(), g.to_svg(title=MARKUP), g.to_html(title=MARKUP)):
        assert "<b" not in text.replace("<body", "").replace("<button", "")
        assert "\0" not in text
        assert "\u202e" not in text
    assert g.to_html().count("</script>") == 2
    name = json.loads(g.to_json())["nodes"][1]["leaf"]
    assert name == MARKUP
    assert len(g.text().splitlines()) == 4


def test_saved_tensors_are_marks_or_rows_or_nothing():
    g = mlp()
    assert "result  float32 [3, 8]  96 B" in g.to_svg(saved="rows")
    assert "float32 [3, 8]  96 B" not in g.to_svg()
    assert g.to_svg(saved="none").count("<rect") < g.to_svg().count("<rect")


def test_equal_layers_are_one_box_and_the_picture_says_so():
    g = layers()
    folded = g.to_svg(fold="repeats")
    assert "×12 · 1 … 12" in folded or "×12 · " in folded
    assert "Folded: a box with ×n stands for n equal parts" in folded
    assert "one of 12" in folded
    assert "Folded" not in g.to_svg()
    assert "Folded" in g.to_svg(max_nodes=10)
    assert len(folded) < len(g.to_svg()) / 2
    assert "×12" in g.text()
    assert "×" not in g.text(fold=False)


def test_to_text_is_text():
    g = mlp()
    assert g.to_text() == g.text() == str(g)
    assert g.to_text(max_lines=2) == g.text(max_lines=2)
    assert libgrad.Graph.to_text.__doc__ == libgrad.Graph.text.__doc__


def test_text_may_be_limited():
    g = encoder()
    lines = g.text(max_lines=5).splitlines()
    assert len(lines) == 8
    assert re.fullmatch(r"\.\.\. \(\d+ more nodes\)", lines[5])
    assert g.text(max_lines=None) == g.text(max_lines=10**30) == g.text() == str(g)


def test_notebook_shows_the_svg():
    g = mlp()
    assert g._repr_svg_() == g.to_svg()


def test_two_thousand_nodes_are_drawn_in_less_than_a_second():
    g = layers(240)
    assert 1800 < len(g) <= 2000
    times = []
    for _ in range(2):
        start = time.perf_counter()
        ElementTree.fromstring(g.to_svg())
        times.append(time.perf_counter() - start)
    assert min(times) < 1


def test_deep_graph_is_drawn_without_recursion():
    x = torch.ones(2, requires_grad=True)
    y = x
    for _ in range(200_000):
        y = y.sin()
    g = libgrad.graph(y, params={"x": x})
    assert g.text().startswith("SinBackward0 ×199,999  float32 [2]")
    for text in (g.to_svg(), g.to_dot(), g.to_html()):
        assert "×200,000" in text
        assert len(text) < 60_000


@pytest.mark.parametrize("method", ["to_dot", "to_svg", "to_html"])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fold": "no"}, ValueError, "fold must be 'auto', 'none', 'modules' or 'repeats', but "),
        ({"fold": False}, TypeError, "fold must be 'auto', .* but is bool"),
        ({"saved": 1}, TypeError, "saved must be 'marks', 'rows' or 'none', but is int"),
        ({"max_nodes": -1}, ValueError, "max_nodes must be an int from 0 up, but is -1"),
        ({"max_nodes": 2.0}, TypeError, "max_nodes must be an int from 0 up, but is float"),
        ({"title": 3}, TypeError, "title must be a str, but is int"),
    ],
)
def test_wrong_option_is_named(method, options, error, message):
    with pytest.raises(error, match=f"^{method}: {message}"):
        getattr(leaf(), method)(**options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fold": 1}, TypeError, "text: fold must be a bool, but is int"),
        ({"max_lines": "3"}, TypeError, "text: max_lines must be an int from 0 up, but is str"),
        ({"max_lines": -3}, ValueError, "text: max_lines must be an int from 0 up, but is -3"),
    ],
)
def test_wrong_option_of_text_is_named(options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        leaf().text(**options)


@pytest.mark.parametrize("method", ["text", "to_dot", "to_svg", "to_html", "to_json"])
def test_examples_of_a_method_print_what_they_say(method):
    names = {"torch": torch, "libgrad": libgrad}
    doc = getattr(libgrad.Graph, method).__doc__
    assert re.search(r"^Return [^\n]*[.]$", doc, re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(doc, names, method, None, None)
    assert test.examples
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert not report, "".join(report)

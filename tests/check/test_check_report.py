"""The report of `check`: a table, data, a truth value; and what `check` refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from check import check_functions as broken
from support import parity
from support.paths import DOCS

import libgrad
from libgrad._check.registry import GROUPS, specs
from libgrad._check.report import Report, Row

EXPECTED = Path(__file__).parent / "expected"


def report_of_every_status() -> Report:
    """A report with every status, long details and details that repeat."""
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.double)
    return libgrad.check(
        broken.SavesIntermediate.apply,
        x,
        only=["autograd", "dual", "grad", "hessian", "vmap of some inputs", "inputs"],
    )


def masked(text: str) -> str:
    table = re.sub(r" *\b\d+\.\d\d s\b", lambda found: "?.?? s".rjust(len(found[0])), text)
    return re.sub(r"in \d+\.\d s$", "in ?.? s", table)


@pytest.mark.parametrize(
    ("name", "render"),
    [("table.txt", str), ("table.md", Report.to_markdown)],
    ids=["text", "markdown"],
)
def test_report_looks_as_it_must(name, render):
    assert masked(render(report_of_every_status())).rstrip() + "\n" == (EXPECTED / name).read_text()


def test_table_fits_a_terminal():
    lines = str(report_of_every_status()).splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line == line.rstrip() for line in lines)


def test_rows_are_data():
    report = libgrad.check(torch.sin, torch.ones(2).double(), only=["grad", "vmap of some inputs"])
    assert [(row.name, row.group, row.status) for row in report.rows] == [
        ("grad", "func", "ok"),
        ("vmap of some inputs", "batch", "n/a"),
    ]
    assert list(report) == list(report.rows)
    assert len(report) == 2
    row = report["grad"]
    assert row is report.rows[0]
    assert row.detail == ""
    assert row.error is None
    assert 0 < row.seconds < 60
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.status = "wrong"
    with pytest.raises(KeyError, match="no row is called 'vmap'; there are grad, vmap of some"):
        report["vmap"]


def test_error_is_kept_with_its_traceback():
    report = libgrad.check(lambda a: 1 / 0, torch.ones(2), only="grad")
    error = report["grad"].error
    assert isinstance(error, ZeroDivisionError)
    assert error.__traceback__ is not None


@pytest.mark.parametrize(
    ("status", "ok"), [("ok", True), ("n/a", True), ("wrong", False), ("error", False)]
)
def test_report_is_true_when_nothing_is_wrong_and_nothing_an_error(status, ok):
    report = Report("f()", (Row("a", "ok"), Row("b", status)))
    assert bool(report) is report.ok is ok
    assert [row.name for row in report.failed] == [] if ok else ["b"]


def test_reprs_say_what_failed():
    rows = (Row("a", "ok", seconds=0.25), Row("b", "wrong", "by 3", 0.5))
    assert repr(rows[0]) == "<a: ok (0.25 s)>"
    assert repr(rows[1]) == "<b: wrong: by 3 (0.50 s)>"
    assert repr(Report("f()", rows)) == "<Report of f(): 1 ok, 1 wrong in 0.8 s (b: wrong)>"
    assert repr(Report("f()", rows[:1])) == "<Report of f(): 1 ok in 0.2 s>"
    assert repr(Report("f()", ())) == "<Report of f(): no rows in 0.0 s>"


def test_json_holds_every_row():
    report = libgrad.check(broken.no_empty, torch.ones(2), only=["grad", "empty inputs"])
    data = json.loads(report.to_json())
    assert data["ok"] is False
    assert data["title"] == "no_empty(float32 [2])"
    assert data["torch"] == torch.__version__
    assert data["notes"] == []
    assert [row["name"] for row in data["rows"]] == ["grad", "empty inputs"]
    assert data["rows"][1] | {"seconds": 0} == {
        "name": "empty inputs",
        "group": "inputs",
        "status": "error",
        "detail": "RuntimeError: invalid configuration argument",
        "seconds": 0,
        "error": "RuntimeError",
    }


def test_notebooks_get_a_table_that_is_escaped():
    rows = (Row("a<b", "wrong", "x < 1\ny", 0.5, None, "g"),)
    html = Report("f<T>()", rows, ("a & b",))._repr_html_()
    assert "<b>f&lt;T&gt;()</b>" in html
    assert "<td>g</td><td>a&lt;b</td>" in html
    assert "x &lt; 1<br>y" in html
    assert "a &amp; b" in html


def test_markdown_escapes_what_ends_a_cell():
    assert (
        "| a\\|b | ok | x\\|y<br>z |" in Report("f()", (Row("a|b", "ok", "x|y\nz"),)).to_markdown()
    )


def test_only_and_skip_take_rows_and_groups():
    x = torch.ones(2)
    names = lambda **options: [row.name for row in libgrad.check(torch.sin, x, **options)]
    assert names(only="dual") == ["forward mode", "forward over reverse", "reverse over forward"]
    assert names(only=["dual", "grad"], skip=["forward mode"]) == [
        "forward over reverse",
        "reverse over forward",
        "grad",
    ]
    assert names(only="grad", skip="func") == []
    assert names(only="compile", skip="compile", backends=["eager"]) == []


def test_names_of_rows_and_groups_are_all_different():
    rows = specs(["eager", "inductor"])
    names = [spec.name for spec in rows]
    assert len(set(names)) == len(names)
    assert not set(names) & set(GROUPS)
    assert {spec.group for spec in rows} == set(GROUPS)
    assert [spec.group for spec in rows][-8:] == ["compile"] * 8


def test_docs_name_every_row():
    page = (DOCS / "check.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("|")]
    named = set(re.findall("`([^`]+)`", "\n".join(table)))
    assert {spec.name for spec in specs(["B"])} | set(GROUPS) <= named


@pytest.mark.parametrize("argument", ["only", "skip"])
def test_unknown_names_are_refused_with_the_known_ones(argument):
    with pytest.raises(ValueError) as raised:
        libgrad.check(torch.sin, torch.ones(2), **{argument: ["grad", "hesian"]})
    text = str(raised.value)
    assert text.startswith(f"check: {argument} names 'hesian', which is no row and no group; ")
    assert "did you mean 'hessian'?" in text
    assert "\ngroups: autograd, dual, func, batch, inputs, around, tracing, compile\n" in text
    assert "\nrows: forward, backward, double backward, " in text
    assert "compile(vmap) inductor" in text


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((3,), {}, TypeError, "check: fn must be a function, but is int"),
        ((abs,), {"reference": 3}, TypeError, "check: reference must be a function, but is int"),
        ((abs,), {"mutates": [0]}, IndexError, "check: mutates names input 0, but there are 0 in"),
    ],
)
def test_bad_arguments_are_refused(args, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        libgrad.check(*args, **options)


@pytest.mark.parametrize("raised", [SystemExit(3), GeneratorExit(), pytest.fail.Exception("x")])
def test_exception_of_any_type_is_that_of_its_row(raised):
    def f(a):
        raise raised

    report = libgrad.check(f, torch.ones(2), only=["forward", "grad", "threads"])
    assert [row.status for row in report] == ["error"] * 3
    assert report["grad"].error is raised


def test_keyboard_interrupt_ends_the_report_and_restores_all():
    random = torch.get_rng_state()

    def f(a):
        torch.rand(1)
        raise KeyboardInterrupt

    with torch.no_grad(), pytest.raises(KeyboardInterrupt):
        libgrad.check(f, torch.ones(2))
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random)


def test_what_is_not_a_tensor_is_an_error_that_says_so():
    report = libgrad.check(lambda a: "text", torch.ones(2), only="forward")
    assert report["forward"].detail == "TypeError: fn returned no tensor, but str"


def test_import_of_libgrad_imports_nothing_for_check():
    program = """
import sys
names = ("torch._dynamo", "torch._inductor", "libgrad._check.run", "libgrad._check.case")
print([name for name in names if name in sys.modules])
"""
    assert parity.python(program) == "[]\n"

"""``python -m libgrad graph``."""

from __future__ import annotations

import json
import sys

import pytest

from libgrad.__main__ import main

SCRIPT = """
import torch
from neighbour import factor

model = torch.nn.Linear(3, 1)

def loss():
    return factor * model(torch.ones(2, 3)).sum()

def losses():
    return [loss(), loss()]

def named():
    return losses(), model

class Inner:
    @staticmethod
    def loss():
        return loss(), dict(model.named_parameters())

def layered():
    layers = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Tanh())
    return layers(torch.ones(2, 3)).sum()

def nothing():
    return None

def constant():
    return torch.ones(2)

def broken():
    raise ZeroDivisionError("mine")

number = 3
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    (tmp_path / "neighbour.py").write_text("factor = 2\n")
    path = tmp_path / "drawn_script.py"
    path.write_text(SCRIPT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield path
    for name in ("drawn_script", "neighbour"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        ("svg", "<svg "),
        ("html", "<!DOCTYPE html>"),
        ("htm", "<!DOCTYPE html>"),
        ("dot", "digraph {"),
        ("gv", "digraph {"),
        ("json", "{\n"),
        ("txt", "MulBackward0"),
        ("SVG", "<svg "),
    ],
)
def test_suffix_says_what_is_written(script, tmp_path, suffix, start, capsys):
    out = tmp_path / f"picture.{suffix}"
    assert main(["graph", f"{script}:named", "-o", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith(start)
    assert "weight" in text
    assert capsys.readouterr() == ("", "")


def test_text_is_printed_without_a_file(script, capsys):
    assert main(["graph", f"{script}:Inner.loss"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("MulBackward0  float32 []")
    assert "AccumulateGrad  weight: float32 [1, 3]" in out


def test_module_on_the_path_and_all_it_may_return(script, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["graph", "drawn_script:loss"]) == 0
    assert "AccumulateGrad  float32 [1, 3]" in capsys.readouterr().out
    out = tmp_path / "two.json"
    assert main(["graph", "drawn_script:losses", "--output", str(out)]) == 0
    assert len(json.loads(out.read_text())["roots"]) == 2


def test_options_are_those_of_the_methods(script, tmp_path):
    out = tmp_path / "picture.svg"
    arguments = ["graph", f"{script}:named", "-o", str(out)]
    assert main([*arguments, "--title", "Mine & yours", "--saved", "rows"]) == 0
    assert "Mine &amp; yours" in out.read_text()
    assert "24 B</text>" in out.read_text()
    assert main([*arguments, "--fold", "repeats"]) == 0
    assert ">named</text>" in out.read_text()


def test_nodes_are_recorded_with_their_modules_and_lines(script, tmp_path):
    out = tmp_path / "graph.json"
    assert main(["graph", f"{script}:layered", "-o", str(out)]) == 0
    total, tanh, linear, *_ = json.loads(out.read_text())["nodes"]
    assert (total["op"], total["file"]) == ("aten::sum", str(script))
    line = SCRIPT.splitlines().index("    return layers(torch.ones(2, 3)).sum()") + 1
    assert total["line"] == line
    assert (tanh["module"], linear["module"]) == ("1", "0")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("torch", "function must be MODULE:CALLABLE, but is 'torch'"),
        ("no_such_module:f", "function no_such_module:f: No module named 'no_such_module'"),
        ("no_such.py:f", "function no_such.py:f: there is no file no_such.py"),
        ("SCRIPT:other", "function SCRIPT:other: module 'drawn_script' has no attribute 'other'"),
        ("SCRIPT:number", "function SCRIPT:number is no function, but int"),
        (
            "SCRIPT:nothing",
            "SCRIPT:nothing must return a tensor, tensors, or (tensors, module), "
            "but returned NoneType",
        ),
        ("SCRIPT:constant", "tensor 0 "),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line_with_exit_status_2(
    script, function, message, capsys
):
    assert main(["graph", function.replace("SCRIPT", str(script))]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("libgrad graph: " + message.replace("SCRIPT", str(script)))
    assert captured.err.count("\n") == 1


def test_file_that_cannot_be_written_is_said(script, tmp_path, capsys):
    assert main(["graph", f"{script}:loss", "-o", "picture.png"]) == 2
    assert "--output must end in .svg, .html, " in capsys.readouterr().err
    assert main(["graph", f"{script}:loss", "-o", str(tmp_path / "no" / "a.svg")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_error_of_the_function_is_its_own(script):
    with pytest.raises(ZeroDivisionError, match="mine"):
        main(["graph", f"{script}:broken"])

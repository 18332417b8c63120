"""``python -m libgrad check``."""

from __future__ import annotations

import json

import pytest
import torch

from libgrad.__main__ import main

INPUT = "torch.randn(3, 2, dtype=torch.double)"


def test_function_that_is_right_exits_with_0(capsys):
    arguments = ["check", "torch:sigmoid", "--inputs", INPUT, "--only", "autograd", "grad"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("sigmoid(float64 [3, 2])\n\nautograd ──")
    assert "\ngradgradcheck    ok " in out
    assert "\ngrad             ok " in out


def test_function_that_is_wrong_exits_with_1(capsys):
    wrong = ["check", "check.check_functions:WrongGradient.apply", "-i", INPUT, INPUT]
    assert main([*wrong, "--only", "backward"]) == 1
    assert "backward  wrong " in capsys.readouterr().out
    assert main([*wrong, "--only", "autograd", "--skip", "backward", "--inexact"]) == 0
    assert "n/a: gradcheck, " in capsys.readouterr().out


def test_error_exits_with_1(capsys):
    arguments = ["check", "check.check_functions:no_empty", "-i", INPUT, "--only", "empty inputs"]
    assert main(arguments) == 1
    assert "RuntimeError: invalid configuration argument" in capsys.readouterr().out


def test_json_is_all_that_is_printed(capsys):
    arguments = ["check", "torch:sum", "-i", INPUT, "--kwargs", "{'dim': 1}", "--json"]
    assert main([*arguments, "--only", "grad", "compile", "--skip", "compile"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["title"] == "sum(float64 [3, 2], dim=1)"
    assert [row["status"] for row in data["rows"]] == ["ok"]


def test_reference_backends_and_seed_are_passed_on(capsys):
    arguments = ["check", "torch:sin", "-i", INPUT, "--reference", "torch:cos"]
    assert main([*arguments, "--only", "forward"]) == 1
    assert "output 0, entry (" in capsys.readouterr().out
    arguments = ["check", "torch:sin", "-i", "torch.ones(2)", "--backends", "eager", "--seed", "3"]
    assert main([*arguments, "--only", "compile eager"]) == 0
    capsys.readouterr()


def test_module_on_the_path_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text("def double(x): return x * 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["check", "mine:double", "-i", "torch.ones(2)", "--only", "grad"]) == 0
    assert capsys.readouterr().out.startswith("double(float32 [2])\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["torch"], "function must be MODULE:FUNCTION, but is 'torch'"),
        (["no_such_module:f"], "function no_such_module:f: No module named 'no_such_module'"),
        (["torch:no_such"], "function torch:no_such: module 'torch' has no attribute 'no_such'"),
        (["torch:pi"], "function torch:pi is no function, but float"),
        (["torch:sin", "-i", "torch.ones("], "--inputs 'torch.ones(': SyntaxError: "),
        (["torch:sin", "-i", "x"], "--inputs 'x': NameError: name 'x' is not defined"),
        (["torch:sin", "--kwargs", "3"], "--kwargs must be a dict, but is int"),
        (["torch:sin", "--reference", "f"], "--reference must be MODULE:FUNCTION, but is 'f'"),
        (["torch:sin", "--only", "grads"], "only names 'grads', which is no row and no group; "),
    ],
)
def test_what_cannot_be_run_is_said_in_a_line_with_exit_status_2(arguments, message, capsys):
    assert main(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"libgrad check: {message}")


def test_help_names_the_arguments(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["check", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for word in ("MODULE:FUNCTION", "--inputs", "--only", "--skip", "--json", "--reference"):
        assert word in out


def test_random_inputs_are_the_same_each_time(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "sin", lambda x: seen.append(x) or x * 2)
    for _ in range(2):
        main(["check", "torch:sin", "-i", INPUT, "--only", "forward"])
    assert torch.equal(seen[0], seen[-1])
    capsys.readouterr()

"""libgrad.load_inline: what is refused before a compiler is run."""

from __future__ import annotations

from pathlib import Path

import pytest

import libgrad

SOURCE = (Path(__file__).parent / "inline.cpp").read_text(encoding="utf-8")


def test_missing_compiler_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="CXX is 'no-such-compiler', which cannot be run"):
        libgrad.load_inline("inline_test", SOURCE, ["Cube"])
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"none of c\+\+, g\+\+, clang\+\+ is on PATH.*set CXX"):
        libgrad.load_inline("inline_test", SOURCE, ["Cube"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "a-b"}, ValueError, "name must be an identifier"),
        ({"name": "main"}, ValueError, "must not be 'main'"),
        ({"name": "../x"}, ValueError, "name must be an identifier"),
        ({"name": 3}, TypeError, "name must be a str, but got int"),
        ({"cpp_source": [SOURCE]}, TypeError, "cpp_source must be a str, but got list"),
        ({"functions": []}, ValueError, "functions is empty"),
        ({"functions": 3}, TypeError, "must be a list of str or a dict"),
        ({"functions": [3]}, TypeError, "must hold str, but has 3"),
        ({"functions": ["Cube", "Cube(x)"]}, ValueError, "a name twice"),
        ({"functions": ["Square"]}, ValueError, "'Square', which cpp_source does not define"),
        ({"functions": ["Cube>(); evil<Cube"]}, ValueError, "expected a struct's name"),
        ({"functions": ["Cube()\n;(x)"]}, ValueError, "not as in a Python def"),
        ({"functions": ["Cube(x): 1\ndef g(x)"]}, ValueError, "not as in a Python def"),
        ({"functions": ["Cube(x=y)"]}, ValueError, "literals for defaults"),
        ({"functions": ["Cube(*x)"]}, ValueError, "no counterpart"),
        ({"functions": {"a b": "Cube"}}, ValueError, "a name in functions must be an identifier"),
        ({"extra_cflags": "-O3"}, TypeError, "extra_cflags must be a list of str"),
        ({"extra_ldflags": [3]}, TypeError, "extra_ldflags must hold str, but has 3"),
    ],
)
def test_bad_input_is_refused_before_anything_is_built(monkeypatch, change, error, message):
    monkeypatch.setenv("CXX", "no-such-compiler")  # RuntimeError, if it came to that
    given = {"name": "bad", "cpp_source": SOURCE, "functions": ["Cube"], **change}
    with pytest.raises(error, match=message):
        libgrad.load_inline(**given)

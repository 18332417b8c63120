"""The C++ tests, and what the headers promise to the compiler."""

from __future__ import annotations

import re
import subprocess

import pytest
from support.builds import CXX, FINE, HEADERS, INCLUDE
from support.consumer import run
from support.header_chains import LEADING, behind, chains
from support.paths import CPP

SOURCES = {path.stem: path for path in sorted(CPP.rglob("test_*.cpp"))}


@pytest.mark.parametrize("name", SOURCES)
def test_program_passes(name, cpp_build):
    tests = re.findall(r"^TEST\((\w+)\)", SOURCES[name].read_text(), re.MULTILINE)
    assert run(cpp_build / name).splitlines() == [f"ok {test}" for test in tests]


def test_reports_are_the_same_whatever_is_included_and_in_which_order(cpp_build):
    alone, backwards, in_order = (
        [re.sub(r"\S+/orders/", "", line) for line in run(cpp_build / name).splitlines()]
        for name in ("alone", "reversed", "sorted")
    )
    assert sum("allowed" in line for line in alone) >= 4
    assert backwards[: len(alone)] == alone
    assert backwards == in_order
    assert len(in_order) > len(alone) + 10


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("TEST(a) { EXPECT(1 == 2); }", "FAIL a: line 2: not so: 1 == 2\n"),
        ('TEST(a) { EXPECT_THROWS(std::exception, "x", 0); }', "nothing was thrown"),
        (
            'TEST(a) { EXPECT_THROWS(std::exception, "x", std::stoi("")); }',
            "expected 'x', got stoi",
        ),
        ('TEST(a) { throw std::logic_error("b"); }\nTEST(c) {}', "FAIL a: b\nok c\n"),
        ("", ""),
    ],
    ids=["check", "no exception", "another exception", "uncaught", "no tests"],
)
def test_a_failing_program_fails(body, says, tmp_path):
    (tmp_path / "a.cpp").write_text(f'#include "support/check.h"\n{body}\n')
    run(CXX, "-std=c++20", f"-I{CPP}", tmp_path / "a.cpp", "-o", tmp_path / "a")
    done = subprocess.run([tmp_path / "a"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert says in done.stdout


USES_JSON = """
#include <nlohmann/json.hpp>
#include <cstdio>
int main() {
  try {
    std::puts(nlohmann::json::parse("a").dump().c_str());
  } catch (const std::exception& error) {
    std::puts(error.what());
  }
}
"""
REAL_JSON = """
#include <stdexcept>
#include <string>
namespace nlohmann {
struct json {
  static json parse(const std::string&) { return {}; }
  std::string dump() const { return "real"; }
};
}
"""


@pytest.mark.parametrize("real", [False, True], ids=["none", "real"])
def test_stand_in_for_json_gives_way_to_the_library(real, tmp_path):
    (tmp_path / "main.cpp").write_text(USES_JSON)
    if real:
        (tmp_path / "nlohmann").mkdir()
        (tmp_path / "nlohmann" / "json.hpp").write_text(REAL_JSON)
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    paths = [f"-I{INCLUDE}", f"-I{tmp_path}"]
    run(CXX, *flags, *paths, tmp_path / "main.cpp", "-o", tmp_path / "main")
    assert run(tmp_path / "main").strip() == (
        "real"
        if real
        else "libgrad's nlohmann/json.hpp holds no JSON library; put the real one "
        "on the include path"
    )


def test_header_is_checked_behind_none_but_those_that_it_includes():
    text = "// a\n#pragma once\n#include <a>\n\n#include <b>\n#define X\n#include <c>\n"
    assert LEADING.match(text)[0].count("#include") == 2
    includes = {"a": ["vector"], "b": ["a"], "c": [], "d": ["b", "c"], "e": ["b"]}
    made = chains(includes)
    assert sorted(header for chain in made for header in chain) == list(includes)
    assert sorted(map(len, made)) == [2, 3]
    for chain in made:
        for place, header in enumerate(chain):
            assert set(chain[:place]) <= behind(includes)[header]


@pytest.mark.parametrize("header", HEADERS)
def test_header_compiles_alone(header, compiled):
    """Without a warning, and without Python where it does not need it."""
    assert compiled[header] == FINE


@pytest.mark.parametrize(
    ("message", "times"),
    [
        ("def_function: LibTorch does not see the tensors in this argument of forward", 2),
        ("def_function: Fn::forward must be one function; it is overloaded", 1),
        ("def_function: an at::ArrayRef<bool> cannot point into", 1),
    ],
    ids=["hidden tensors", "overloaded forward", "array of bool"],
)
def test_def_function_refuses(message, times, compiled):
    code, said = compiled["refused"]
    assert code != 0
    found = re.findall(r"static assertion failed.*?: (.*)", said) or said.splitlines()
    assert sum(message in line for line in found) == times


def test_umbrella_header_has_every_public_header_but_python_h():
    public = {header for header in HEADERS if header.count("/") == 1}
    included = re.findall(r"#include <(.*)>", (INCLUDE / "libgrad/libgrad.h").read_text())
    assert set(included) == public - {"libgrad/python.h", "libgrad/libgrad.h"}

"""libgrad's sources inside another CMake project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from consumer import run

ROOT = Path(__file__).resolve().parents[1]
WAYS = {
    "add_subdirectory": 'add_subdirectory("{root}" libgrad)',
    "FetchContent": (
        "include(FetchContent)\n"
        'FetchContent_Declare(libgrad SOURCE_DIR "{root}")\n'
        "FetchContent_MakeAvailable(libgrad)"
    ),
}
PROJECT = """\
cmake_minimum_required(VERSION 3.18...4.1)
project(outer LANGUAGES CXX)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
{way}
libgrad_add_module(cube "{root}/examples/package/cube.cpp")
install(TARGETS cube LIBRARY DESTINATION .)
add_executable(square "{root}/examples/square/square.cpp")
target_link_libraries(square PRIVATE libgrad::libgrad)
"""


@pytest.mark.parametrize("way", WAYS)
def test_sources_may_be_part_of_another_project(way, tmp_path):
    text = PROJECT.replace("{way}", WAYS[way]).replace("{root}", ROOT.as_posix())
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    build = tmp_path / "build"
    run(
        *("cmake", "-G", "Ninja", "-S", tmp_path, "-B", build),
        *("-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", f"-DPython_EXECUTABLE={sys.executable}"),
    )
    commands = (build / "compile_commands.json").read_text(encoding="utf-8")
    assert commands.count(f"-I{ROOT.as_posix()}/csrc ") == 2  # and nothing of ours is compiled
    assert "csrc/bindings" not in commands
    scripts = [path.read_text(encoding="utf-8") for path in build.rglob("cmake_install.cmake")]
    assert any("cube." in script for script in scripts)
    assert not any("csrc/libgrad" in script for script in scripts)  # not in the other's wheel


def test_module_without_python_says_what_to_find(tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18...4.1)\nproject(outer LANGUAGES NONE)\n"
        f'include("{ROOT.as_posix()}/cmake/libgradModule.cmake")\n'
        "libgrad_add_module(cube cube.cpp)\n",
        encoding="utf-8",
    )
    with pytest.raises(pytest.fail.Exception, match=r"libgrad_add_module\(cube\): Python was not"):
        run("cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build")

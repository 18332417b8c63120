"""libgrad's sources inside another CMake project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.builds import CXX
from support.consumer import run
from support.paths import ROOT

import libgrad
from libgrad._compat import torch_minors

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
libgrad_add_module(softplus "{root}/examples/custom_function/softplus.cpp")
install(TARGETS softplus LIBRARY DESTINATION .)
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
    assert any("softplus." in script for script in scripts)
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


DECLARATIONS = """
struct TORCH_API OneBackward0 : public TraceableFunction {
  SavedVariable self_;
  std::vector<SavedVariable> tensors_;
  bool tensors_released_ = false;
};
struct TORCH_API NoneBackward0 : public Node {
};
"""


def fake_torch(folder: Path, version: str, declarations: str) -> Path:
    """As much of a torch as CMake looks at."""
    for name, text in {
        "include/ATen/ATen.h": "",
        "include/torch/csrc/autograd/generated/Functions.h": declarations,
        "share/cmake/Torch/TorchConfigVersion.cmake": f'set(PACKAGE_VERSION "{version}")\n',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def paths_of_headers(torch_dir: Path, folder: Path) -> str:
    """Configure a project that uses the installed libgrad with a torch; return its paths."""
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18...4.1)\nproject(outer LANGUAGES CXX)\n"
        "find_package(libgrad CONFIG REQUIRED)\n"
        "get_target_property(paths libgrad::libgrad INTERFACE_INCLUDE_DIRECTORIES)\n"
        'message(STATUS "paths: ${paths}")\n',
        encoding="utf-8",
    )
    said = run(
        *("cmake", "-G", "Ninja", "-S", folder, "-B", folder / "build"),
        *(f"-Dlibgrad_DIR={libgrad.cmake_dir()}", f"-DLIBGRAD_TORCH_DIR={torch_dir}"),
    )
    return re.search("paths: (.*)", said)[1]


def test_table_of_saved_tensors_is_made_for_a_torch_that_has_none(tmp_path):
    torch_dir = fake_torch(tmp_path / "torch", "2.98.7", DECLARATIONS)
    paths_of_headers(torch_dir, tmp_path)
    torch_dir = fake_torch(tmp_path / "torch", "2.99.7", DECLARATIONS)
    made = tmp_path / "build" / "libgrad_torch"
    paths = paths_of_headers(torch_dir, tmp_path)
    assert paths == f"{libgrad.include_dir()};{made.as_posix()}"
    (header,) = (made / "libgrad" / "torch" / "saved").glob("*.h")  # and none of another torch
    assert header.name == "table_2_99.h"
    table = header.read_text(encoding="utf-8")
    assert "TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 99" in table
    one = "&generated::OneBackward0::"
    assert f'saved_one("self", {one}self_)' in table
    assert f'saved_list("tensors", {one}tensors_, {one}tensors_released_)' in table
    assert '{&typeid(generated::OneBackward0), "OneBackward0", 0, 2}' in table
    assert '{&typeid(generated::NoneBackward0), "NoneBackward0", 2, 2}' in table


@pytest.mark.parametrize("minor", torch_minors())
def test_table_of_saved_tensors_is_installed_for_the_torches_of_the_build(minor, tmp_path):
    torch_dir = fake_torch(tmp_path / "torch", f"{minor}.7", DECLARATIONS)
    assert paths_of_headers(torch_dir, tmp_path) == libgrad.include_dir()
    assert not (tmp_path / "build" / "libgrad_torch").exists()


def table_for(minor: str, folder: Path) -> str:
    """Return what the compiler makes of the table's header, for a torch of a version."""
    version = folder / "torch" / "headeronly" / "version.h"
    version.parent.mkdir(parents=True)
    major, number = minor.split(".")
    version.write_text(
        f"#define TORCH_VERSION_MAJOR {major}\n#define TORCH_VERSION_MINOR {number}\n"
    )
    made = folder / "libgrad" / "torch" / "saved" / "table_3_7.h"
    made.parent.mkdir(parents=True)
    made.write_text("int table_of_3_7;\n")
    source = folder / "source.cpp"
    source.write_text("#include <libgrad/torch/saved/table.h>\n")
    include = ("-I", folder, "-I", libgrad.include_dir())
    return run(CXX, "-std=c++20", "-E", *include, source)


def test_header_is_chosen_by_the_torch_that_is_compiled_with(tmp_path):
    assert "int table_of_3_7;" in table_for("3.7", tmp_path)


def test_missing_header_is_named(tmp_path):
    text = table_for("3.8", tmp_path)
    assert "int table_of_3_7;" not in text
    said = re.search(r'static_assert\(\s*false,\s*"(.*?);\s*or', text, re.DOTALL)[1]
    words = re.sub(r'"\s*"', "", said)
    assert words.startswith("libgrad was installed without libgrad/torch/saved/table_3_8.h, which")


def test_torch_without_declarations_is_refused(tmp_path):
    torch_dir = fake_torch(tmp_path / "torch", "2.99.0", "struct Other {};\n")
    script = ROOT / "cmake" / "libgradSaved.cmake"
    with pytest.raises(pytest.fail.Exception, match="declares no node that saves a tensor"):
        run(
            *("cmake", f"-Dlibgrad_TORCH_DIR={torch_dir}", "-Dlibgrad_TORCH_MINOR=2.99"),
            *(f"-DOUT={tmp_path}", "-P", script),
        )


def torch_taken(folder: Path, *options: str) -> str:
    """Configure a C++ project that includes libgradTorch.cmake; return which torch it took."""
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18...4.1)\nproject(outer LANGUAGES NONE)\n"
        "set(CMAKE_SHARED_LIBRARY_SUFFIX .so)\n"
        f'include("{ROOT.as_posix()}/cmake/libgradTorch.cmake")\n',
        encoding="utf-8",
    )
    said = run("cmake", "-G", "Ninja", "-S", folder, "-B", folder / "build", *options)
    return re.search(r"libgrad: torch (.*)", said)[1]


@pytest.mark.parametrize("below", ["", "torch", "lib/python3.12/site-packages/torch"])
def test_path_in_the_environment_says_which_torch(below, monkeypatch, tmp_path):
    there = fake_torch(tmp_path / "env" / below, "2.99.0", DECLARATIONS)
    monkeypatch.setenv("LIBGRAD_TORCH", str(tmp_path / "env"))
    assert torch_taken(tmp_path) == f"2.99.0 at {there}"
    other = fake_torch(tmp_path / "other", "2.99.1", DECLARATIONS)  # CMake's own variable is nearer
    assert torch_taken(tmp_path, f"-DLIBGRAD_TORCH_DIR={other}") == f"2.99.1 at {other}"


def test_path_in_the_environment_without_a_torch_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("LIBGRAD_TORCH", str(tmp_path))
    said = rf"LIBGRAD_TORCH\s+is\s+'{tmp_path}',\s+where\s+no\s+torch\s+is"
    with pytest.raises(pytest.fail.Exception, match=said):
        torch_taken(tmp_path)


def test_minor_in_the_environment_must_be_that_of_the_torch(monkeypatch, tmp_path):
    there = fake_torch(tmp_path / "torch", "2.99.0", DECLARATIONS)
    option = f"-DLIBGRAD_TORCH_DIR={there}"
    monkeypatch.setenv("LIBGRAD_TORCH", "2.99")
    assert torch_taken(tmp_path, option) == f"2.99.0 at {there}"
    monkeypatch.setenv("LIBGRAD_TORCH", "2.98")
    said = r"LIBGRAD_TORCH\s+is\s+2\.98,\s+but\s+the\s+torch"
    with pytest.raises(pytest.fail.Exception, match=said):
        torch_taken(tmp_path, option)


def test_torch_outside_the_supported_range_is_said(tmp_path):
    old = fake_torch(tmp_path / "old", "2.1.0", DECLARATIONS)
    with pytest.raises(pytest.fail.Exception, match=r"torch\s+2\.1\.0\s+at\s+\S+\s+is\s+too\s+old"):
        torch_taken(tmp_path, f"-DLIBGRAD_TORCH_DIR={old}")
    new = fake_torch(tmp_path / "new", "2.99.0", DECLARATIONS)
    command = ("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DLIBGRAD_TORCH_DIR={new}")
    warned = run(*command, stderr=subprocess.STDOUT)
    assert warned.count("CMake Warning") == 1
    assert re.search(r"torch\s+2\.99\.0\s+is\s+newer\s+than\s+the", warned)

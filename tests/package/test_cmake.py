"""libgrad's sources inside another CMake project."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.consumer import run
from support.paths import ROOT

import libgrad

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


def test_table_of_saved_tensors_is_made_for_the_torch_at_hand(tmp_path):
    torch_dir = fake_torch(tmp_path / "torch", "2.12.7", DECLARATIONS)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18...4.1)\nproject(outer LANGUAGES CXX)\n"
        "find_package(libgrad CONFIG REQUIRED)\n"
        "get_target_property(paths libgrad::libgrad INTERFACE_INCLUDE_DIRECTORIES)\n"
        'list(GET paths 0 first)\nmessage(STATUS "first: ${first}")\n',
        encoding="utf-8",
    )
    build = tmp_path / "build"
    said = run(
        *("cmake", "-G", "Ninja", "-S", tmp_path, "-B", build),
        *(f"-Dlibgrad_DIR={libgrad.cmake_dir()}", f"-DLIBGRAD_TORCH_DIR={torch_dir}"),
    )
    made = build / "libgrad_torch"
    assert f"first: {made.as_posix()}\n" in said  # in front of the installed one
    table = (made / "libgrad" / "torch" / "saved" / "table.h").read_text(encoding="utf-8")
    assert "TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 12" in table
    one = "&generated::OneBackward0::"
    assert f'saved_one("self", {one}self_)' in table
    assert f'saved_list("tensors", {one}tensors_, {one}tensors_released_)' in table
    assert '{&typeid(generated::OneBackward0), "OneBackward0", 0, 2}' in table
    assert '{&typeid(generated::NoneBackward0), "NoneBackward0", 2, 2}' in table


def test_torch_without_declarations_is_refused(tmp_path):
    torch_dir = fake_torch(tmp_path / "torch", "2.13.0", "struct Other {};\n")
    script = ROOT / "cmake" / "libgradSaved.cmake"
    with pytest.raises(pytest.fail.Exception, match="declares no node that saves a tensor"):
        run(
            *("cmake", f"-Dlibgrad_TORCH_DIR={torch_dir}", "-Dlibgrad_TORCH_MINOR=2.13"),
            *(f"-DOUT={tmp_path}", "-P", script),
        )

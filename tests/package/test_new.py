"""``python -m libgrad new``: the package that it writes, and what it refuses."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
import venv
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import torch
from support import environment
from support.builds import HAS_BACKEND
from support.consumer import run
from support.docs_blocks import read_blocks

import libgrad
from libgrad.__main__ import main
from libgrad._build_info import TORCH_MINOR
from libgrad._command.new import files

WRITTEN = {
    ".gitignore",
    "CMakeLists.txt",
    "README.md",
    "build_backend.py",
    "csrc/cube.cpp",
    "pyproject.toml",
    "src/my_cubes/_C.pyi",
    "src/my_cubes/__init__.py",
    "src/my_cubes/py.typed",
    "tests/test_my_cubes.py",
}
LIBGRAD_MINOR = ".".join(libgrad.__version__.split(".")[:2])

builds_it = pytest.mark.skipif(not HAS_BACKEND, reason="scikit_build_core is not installed")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_package_has_its_files_and_says_what_to_do_next(tmp_path, capsys):
    assert main(["new", "my-cubes"]) == 0
    assert written(tmp_path / "my-cubes") == WRITTEN
    assert capsys.readouterr().out == (
        "my-cubes is a package with a C++ Function, my_cubes.cube. Next:\n\n"
        "    cd my-cubes\n    pip install '.[test]' && python -m pytest\n"
    )


def test_names_are_filled_in_everywhere():
    texts = files("my-cubes")
    assert {path.as_posix() for path in texts} == WRITTEN
    assert "@" not in "".join(map(str, texts)) + "".join(texts.values()).replace("@functools", "")
    project = texts[Path("pyproject.toml")]
    assert 'name = "my-cubes"\n' in project
    assert 'wheel.packages = ["src/my_cubes"]\n' in project
    assert "cubes.cube" in texts[Path("README.md")]
    others = files("your_squares")
    assert {path.as_posix() for path in others} == {
        path.replace("my_cubes", "your_squares") for path in WRITTEN
    }
    assert "cubes" not in "".join(others.values())


def test_no_version_of_torch_or_libgrad_is_written_down():
    numbers = re.findall(r"\d+\.\d+", "".join(files("cubes").values()))
    assert set(numbers) == {"0.1", "0.5", "1.0", "2.0", "3.10", "3.18", "4.1"}


def test_path_is_the_folder_of_the_package(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for path in ("empty", "a/b"):
        assert main(["new", "my-cubes", "--path", path]) == 0
        assert written(tmp_path / path) == WRITTEN
        assert f"cd {path}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "NAME must be letters and digits"),
        ("3cubes", "NAME must be letters and digits"),
        ("my cubes", "NAME must be letters and digits"),
        ("cubes-", "NAME must be letters and digits"),
        ("_cubes", "NAME must be letters and digits"),
        ("my--cubes", "NAME must be letters and digits"),
        ("my.cubes", "NAME must be letters and digits"),
        ("../cubes", "NAME must be letters and digits"),
        ("cubes\n", "NAME must be letters and digits"),
        ("würfel", "NAME must be letters and digits"),
        ("lambda", "NAME is 'lambda', a keyword of Python"),
        ("torch", "NAME is 'torch', but there is a module torch already (/"),
        ("libgrad", "NAME is 'libgrad', but there is a module libgrad already (/"),
        ("numpy", "NAME is 'numpy', but there is a module numpy already (/"),
        ("json", "NAME is 'json', but there is a module json already (/"),
        ("sys", "NAME is 'sys', but there is a module sys already (built-in)"),
        ("typing-extensions", "there is a module typing_extensions already (/"),
        ("scikit-learn", "NAME is 'scikit-learn', but scikit-learn 1."),
    ],
)
def test_name_that_cannot_be_used_is_refused_and_nothing_is_written(name, message, capsys):
    assert main(["new", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("libgrad new: ")
    assert message in captured.err
    assert os.listdir() == []


def test_folder_that_holds_something_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "cubes").mkdir()
    (tmp_path / "cubes" / "notes.txt").write_text("mine")
    assert main(["new", "cubes"]) == 2
    assert capsys.readouterr().err == (
        "libgrad new: cubes must be new or empty, but has notes.txt; pass another --path\n"
    )
    assert written(tmp_path) == {"cubes/notes.txt"}


def test_a_second_package_of_the_name_does_not_replace_the_first(tmp_path, capsys):
    assert main(["new", "cubes"]) == 0
    source = tmp_path / "cubes" / "csrc" / "cube.cpp"
    source.write_text("mine")
    assert main(["new", "cubes"]) == 2
    assert "cubes must be new or empty, but has .gitignore and more" in capsys.readouterr().err
    assert source.read_text() == "mine"


def test_file_in_the_way_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "cubes").write_text("mine")
    assert main(["new", "cubes"]) == 2
    assert "cubes must be a folder, but is a file; pass another --path" in capsys.readouterr().err
    assert (tmp_path / "cubes").read_text() == "mine"


def test_nothing_is_left_when_a_file_cannot_be_written(tmp_path, capsys, monkeypatch):
    write_text = Path.write_text

    def full(path: Path, *arguments: object, **options: object) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device", str(path))
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    (tmp_path / "empty").mkdir()
    for path in ("cubes", "empty"):
        assert main(["new", "cubes", "--path", path]) == 2
        assert "No space left on device" in capsys.readouterr().err
    assert [each.name for each in tmp_path.rglob("*")] == ["empty"]


def test_folder_named_as_the_package_hides_no_module(tmp_path):
    (tmp_path / "cubes").mkdir()  # which `python -m` would import, from the current folder
    run(sys.executable, "-m", "libgrad", "new", "cubes", cwd=tmp_path)
    assert (tmp_path / "cubes" / "pyproject.toml").is_file()


# The package, installed.


@builds_it
def test_readme_can_be_followed_word_for_word(new_package):
    project, printed = new_package
    assert list(printed) == ["pip install '.[test]'", "python -m pytest"]
    assert re.search(r"\b3 passed\b", printed["python -m pytest"])
    (block,) = read_blocks(project / "README.md", "python")
    python = project.parent / "venv" / "bin" / "python"
    assert run(python, "-c", block.code).splitlines() == block.expected


@builds_it
def test_installing_brings_the_package_alone_and_leaves_torch(new_package):
    project, _ = new_package
    (own,) = project.parent.glob("venv/lib/python*/site-packages")
    assert {path.name for path in own.iterdir()} == {
        "my_cubes",
        "my_cubes-0.1.0.dist-info",
        "seen.pth",
    }
    assert sorted(path.name.split(".")[0] for path in (own / "my_cubes").glob("*.*")) == [
        "_C",
        "_C",
        "__init__",
        "py",
    ]
    python = project.parent / "venv" / "bin" / "python"
    print_torch = "import torch; print(torch.__file__, torch.__version__)"
    assert run(python, "-c", print_torch).split() == [torch.__file__, torch.__version__]


@builds_it
def test_wheel_requires_the_minors_that_it_was_built_with(new_package):
    (info,) = new_package[0].parent.glob("venv/lib/python*/site-packages/*.dist-info")
    assert Distribution.at(info).requires == [
        f"libgrad=={LIBGRAD_MINOR}.*",
        f"torch=={TORCH_MINOR}.*",
        'pytest>=8; extra == "test"',
    ]


@builds_it
def test_stub_says_what_the_extension_has(new_package):
    project, _ = new_package
    (own,) = project.parent.glob("venv/lib/python*/site-packages")
    stub = ast.parse((own / "my_cubes" / "_C.pyi").read_text(encoding="utf-8"))
    (function,) = (item for item in stub.body if isinstance(item, ast.FunctionDef))
    assert ast.unparse(function).startswith("def cube(x: Tensor) -> Tensor:\n")
    program = (
        "from my_cubes import _C; print([n for n in vars(_C) if n[0] != '_'], _C.cube.__doc__)"
    )
    printed = run(project.parent / "venv" / "bin" / "python", "-c", program)
    assert printed.startswith("['cube'] cube(x: torch.Tensor) -> torch.Tensor\n")


# What finds libgrad and torch for it.


@pytest.fixture
def backend(tmp_path, monkeypatch):
    """The module build_backend of a new package, as pip would run it here."""
    if not HAS_BACKEND:
        pytest.skip("scikit_build_core is not installed")
    for name in ("LIBGRAD_TORCH", "PIP_BUILD_TRACKER", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "build_backend.py"
    path.write_text(files("cubes")[Path(path.name)], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("build_backend", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bare(folder: Path) -> Path:
    """Return the Python of an environment that has nothing."""
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


def seeing(folder: Path) -> Path:
    """Return the Python of an environment that sees what the tests see."""
    environment.create(folder)
    return folder / "bin" / "python"


@pytest.mark.parametrize("named", ["", TORCH_MINOR])
def test_build_is_told_of_this_libgrad_and_this_torch(named, backend, monkeypatch):
    monkeypatch.setenv("LIBGRAD_TORCH", named)
    settings, requirements = backend.environment()
    assert settings == {
        "cmake.define.libgrad_DIR": libgrad.cmake_dir(),
        "cmake.define.LIBGRAD_TORCH_DIR": os.path.dirname(torch.__file__),
    }
    assert requirements == [f"libgrad=={LIBGRAD_MINOR}.*", f"torch=={TORCH_MINOR}.*"]


def test_build_may_be_told_of_another_torch(backend, tmp_path, monkeypatch):
    other = tmp_path / "other" / "torch"
    version = other / "share" / "cmake" / "Torch" / "TorchConfigVersion.cmake"
    version.parent.mkdir(parents=True)
    version.write_text('set(PACKAGE_VERSION "9.31.2")\n')
    monkeypatch.setenv("LIBGRAD_TORCH", str(other))
    settings, requirements = backend.environment()
    assert settings["cmake.define.LIBGRAD_TORCH_DIR"] == str(other)
    assert requirements[1] == "torch==9.31.*"


def test_folder_that_is_no_torch_is_refused(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("LIBGRAD_TORCH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"LIBGRAD_TORCH must be the folder of a torch package"):
        backend.environment()


def test_environment_without_libgrad_is_refused(backend, tmp_path, monkeypatch):
    python = bare(tmp_path / "bare")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(bare(tmp_path / "other").parent))
    message = f"{python} has no libgrad to build with; run `pip install libgrad` first"
    with pytest.raises(SystemExit, match=re.escape(message)):
        backend.environment()


def test_environment_with_another_torch_alone_is_not_passed_over(backend, tmp_path, monkeypatch):
    python = bare(tmp_path / "bare")
    (own,) = (tmp_path / "bare").glob("lib/python*/site-packages")
    (own / "torch").mkdir()
    (own / "torch" / "__init__.py").touch()
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(seeing(tmp_path / "seeing").parent))
    with pytest.raises(SystemExit, match=re.escape(f"{python} has no libgrad")):
        backend.environment()


@pytest.mark.parametrize("way", ["active", "project", "named"])
def test_a_build_environment_finds_the_one_it_builds_for(way, backend, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(bare(tmp_path / "bare")))
    folder = tmp_path / {"active": "active", "project": ".venv", "named": "named"}[way]
    python = seeing(folder)
    monkeypatch.setenv("PATH", str(python.parent if way == "active" else tmp_path))
    if way == "named":
        monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", str(folder))
    settings, _ = backend.environment()
    assert settings["cmake.define.libgrad_DIR"] == libgrad.cmake_dir()


def test_pip_installs_into_its_own_environment_whatever_is_active(backend, tmp_path, monkeypatch):
    python = bare(tmp_path / "bare")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(seeing(tmp_path / "active").parent))
    monkeypatch.setenv("PIP_BUILD_TRACKER", str(tmp_path))
    with pytest.raises(SystemExit, match=re.escape(f"{python} has no libgrad")):
        backend.environment()


def test_what_pip_puts_in_front_is_not_what_is_installed(backend, tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(seeing(tmp_path / "seeing")))
    settings, _ = backend.environment()
    assert settings["cmake.define.LIBGRAD_TORCH_DIR"] == os.path.dirname(torch.__file__)


def test_source_distribution_asks_no_environment(backend, monkeypatch):
    monkeypatch.setattr(backend, "environment", lambda: pytest.fail("it was asked"))
    dependencies = backend.Dependencies()
    dependencies.build_state("sdist")
    assert dependencies.dynamic_metadata({}, {}) == {"dependencies": ["libgrad", "torch"]}
    assert dependencies.dynamic_wheel({}) == {"dependencies": True}

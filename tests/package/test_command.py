"""``python -m libgrad`` and the check of torch that comes before everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.paths import ROOT

import libgrad
from libgrad import _build_info
from libgrad.__main__ import main
from libgrad._command import demo as _demo
from libgrad._compat import check_torch, torch_minors


def python(*arguments: str, path: Path | None = None, **more: str) -> tuple[int, str, str]:
    """Run another Python, with `path` in front of what it imports; return code and outputs."""
    paths = [str(path)] if path else []
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    run = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more},
        timeout=120,
        check=False,
    )
    return run.returncode, run.stdout, run.stderr


def test_module_can_be_run():
    assert python("-m", "libgrad", "--version") == (0, f"libgrad {libgrad.__version__}\n", "")


def test_directories_are_printed_for_scripts(capsys):
    assert main(["--includedir"]) == 0
    include = Path(capsys.readouterr().out.rstrip("\n"))
    assert (include / "libgrad" / "libgrad.h").is_file()
    assert main(["--cmakedir"]) == 0
    cmake = Path(capsys.readouterr().out.rstrip("\n"))
    assert (cmake / "libgradConfig.cmake").is_file()
    assert main(["--includedir", "--cmakedir"]) == 0
    assert capsys.readouterr().out == f"{include}\n{cmake}\n"
    assert (libgrad.include_dir(), libgrad.cmake_dir()) == (str(include), str(cmake))


def test_info_names_versions_and_paths_that_exist(capsys):
    assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["libgrad"] == libgrad.__version__
    assert lines["torch"] == f"{torch.__version__} (built with {_build_info.TORCH_VERSION})"
    assert dict([lines["built"].split(maxsplit=1)]) == {"for": f"torch {', '.join(torch_minors())}"}
    assert lines["pybind11"] == f"{libgrad._C.pybind11_version} (torch's copy)"
    assert lines["compiler"] == _build_info.COMPILER
    assert lines["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert Path(lines["extension"]).is_file()
    assert lines["headers"] == libgrad.include_dir()
    assert lines["CMake"].split(maxsplit=1) == ["package", libgrad.cmake_dir()]


def test_without_a_command_it_shows_help_and_fails(capsys):
    assert main([]) == 2
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m libgrad")
    for word in ("demo", "info", "new", "--includedir", "--cmakedir", "--version"):
        assert word in out


@pytest.mark.parametrize("arguments", [["frobnicate"], ["--frobnicate"], ["demo", "--device"]])
def test_unknown_arguments_are_refused_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: python -m libgrad")


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_demo_without_a_gpu_says_so_in_a_line(device, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["demo", "--device", device]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"libgrad demo: --device {device}: torch {torch.__version__} sees no CUDA device; "
        "use --device cpu\n"
    )


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("nonsense", "--device nonsense: Expected one of cpu, cuda"),
        ("", "--device : Device string must not be empty"),
        ("meta", "--device must be cpu or cuda, but is meta"),
    ],
)
def test_demo_on_what_is_no_device_says_so_in_a_line(device, message, capsys):
    assert main(["demo", "--device", device]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"libgrad demo: {message}")
    assert captured.err.count("\n") == 1


def test_demo_without_its_packages_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == (
        "libgrad demo: needs scikit-learn; run\n    pip install scikit-learn\n"
    )
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["demo"]) == 1
    assert "pip install scikit-learn tqdm\n" in capsys.readouterr().err


def test_demo_differentiates_by_hand_as_by_machine(capsys):
    assert _demo._by_hand("cpu")
    out = capsys.readouterr().out
    assert "df/dx   y + 1      = 4      4           4\n" in out
    assert "df/dy   x + 2y + 1 = 9      9           9\n" in out


def test_demo_fails_when_a_gradient_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(_demo, "grad", lambda f, xs: {k: torch.tensor(5.0) for k in xs})
    assert not _demo._by_hand("cpu")
    capsys.readouterr()


def test_other_torch_is_refused_with_both_versions_and_the_commands(monkeypatch):
    monkeypatch.delenv("LIBGRAD_SKIP_TORCH_CHECK", raising=False)
    monkeypatch.setattr(torch, "__version__", "1.99.3+cu999")
    with pytest.raises(ImportError) as raised:
        check_torch()
    text = str(raised.value)
    minors = torch_minors()
    assert f"built for torch {', '.join(minors)}, but torch 1.99.3+cu999 is installed" in text
    assert os.path.dirname(torch.__file__) in text
    assert f"\n    pip install 'torch=={minors[-1]}.*'\n" in text
    assert text.endswith("build it for the torch you have:\n    pip install .")
    monkeypatch.setenv("LIBGRAD_SKIP_TORCH_CHECK", "1")
    check_torch()


@pytest.mark.parametrize("version", ["{}.0", "{}.7+cu130", "{}.0a0+git1234", "{}.1.dev20260101"])
def test_torch_of_the_same_minor_is_taken(version, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version.format(_build_info.TORCH_MINOR))
    check_torch()


@pytest.mark.parametrize("version", ["{}1.0", "1{}.0"])
def test_torch_whose_version_only_looks_the_same_is_refused(version, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version.format(_build_info.TORCH_MINOR))
    with pytest.raises(ImportError, match="built for torch"):
        check_torch()


def test_import_beside_another_torch_ends_before_the_extension_is_loaded(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text('__version__ = "2.1.0"\n')
    code, _, error = python("-c", "import libgrad", path=tmp_path, LIBGRAD_SKIP_TORCH_CHECK="")
    assert code == 1
    assert "ImportError: libgrad was built for torch" in error
    assert "undefined symbol" not in error
    assert "_C" not in error


def test_import_without_torch_says_what_to_install(tmp_path):
    program = "import sys; sys.modules['torch'] = None; import libgrad"
    code, _, error = python("-c", program)
    assert code == 1
    assert "ImportError: libgrad needs torch, which is not installed. Run" in error
    assert f"pip install 'torch=={torch_minors()[-1]}.*'" in error


def test_torch_that_lacks_a_package_of_its_own_is_not_called_missing(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import no_such_package\n")
    code, _, error = python("-c", "import libgrad", path=tmp_path)
    assert code == 1
    assert error.endswith("ModuleNotFoundError: No module named 'no_such_package'\n")


def test_source_tree_says_that_it_is_not_built():
    code, _, error = python("-c", "import libgrad", path=ROOT / "python")
    assert code == 1
    assert "ImportError: libgrad's extension is not built: this is the source tree. Run" in error

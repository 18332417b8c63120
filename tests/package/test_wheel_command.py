"""``python -m libgrad wheel``: the torches it builds with, what it refuses, a package for two."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from support.builds import HAS_BACKEND

from libgrad.__main__ import main
from libgrad._command.callables import Unusable
from libgrad._command.wheel import build, tag, torches
from libgrad._command.wheel.merge import CHOOSER
from libgrad._command.wheel.metadata import requirement

MINOR = torches.INSTALLED

# --- torches


def put_torch(directory: Path, version: str) -> Path:
    file = directory / torches.VERSION_FILE
    file.parent.mkdir(parents=True)
    file.write_text(f'set(PACKAGE_VERSION "{version}")\n')
    return directory


def test_installed_torch_is_used_in_place(tmp_path):
    found = torches.find(MINOR, tmp_path)
    assert found.directory == Path(torch.__file__).parent.resolve()
    assert (found.minor, found.origin) == (MINOR, "installed")
    assert list(tmp_path.iterdir()) == []


def torchs_wheel(folder: Path, version: str) -> Path:
    """Write what looks like torch's wheel."""
    path = folder / f"torch-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("libtorch_cpu.so", "libtorch.so", "libc10.so", "libtorch_python.so"):
            archive.writestr(f"torch/lib/{name}", name)
        archive.writestr("torch/lib/libtorch_cuda.so", "large")
        archive.writestr("torch/include/", "")
        archive.writestr("torch/include/ATen/ATen.h", "")
        archive.writestr("torch/version.py", f"__version__ = '{version}'")
        archive.writestr("torch/nn/__init__.py", "large")
        archive.writestr("functorch/include/a.h", "")
        archive.writestr(f"torch/{torches.VERSION_FILE}", f'set(PACKAGE_VERSION "{version}")\n')
        info = f"torch-{version}.dist-info"
        text = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\nRequires-Dist: absent\n"
        archive.writestr(f"{info}/METADATA", text)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def shut(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find what is in a folder, and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_other_torch_is_downloaded_once_and_only_what_a_build_needs(tmp_path, monkeypatch):
    shop, cache = tmp_path / "shop", tmp_path / "cache"
    shop.mkdir()
    archive = torchs_wheel(shop, "2.99.1")
    shut(shop, monkeypatch)
    said: list[str] = []
    found = torches.find("2.99", cache, said.append)
    assert (found.version, found.origin) == ("2.99.1", "downloaded")
    assert said == ["torch 2.99: downloading it, without what it depends on"]
    files = {p.relative_to(found.directory).as_posix() for p in found.directory.rglob("*.*")}
    assert files == {
        *(f"lib/{name}.so" for name in ("libtorch_cpu", "libtorch", "libc10", "libtorch_python")),
        *("include/ATen/ATen.h", "version.py", torches.VERSION_FILE),
    }
    assert [path.name for path in (cache / "torch").iterdir()] == [found.directory.name]
    archive.unlink()
    assert torches.find("2.99", cache, said.append).origin == "cached"
    assert len(said) == 1


def test_download_that_fails_says_what_pip_said_and_leaves_nothing(tmp_path, monkeypatch):
    shut(tmp_path, monkeypatch)
    with pytest.raises(Unusable, match=r"(?s)--torch 2\.99: pip found no such torch.*No matching"):
        torches.find("2.99", tmp_path / "cache", lambda text: None)
    assert list((tmp_path / "cache" / "torch").iterdir()) == []


@pytest.mark.parametrize("below", ["torch", "lib/python3.12/site-packages/torch", "."])
def test_path_leads_to_the_torch_below_it(below, tmp_path):
    there = put_torch(tmp_path / "env" / below, "2.99.1")
    found = torches.find(str(tmp_path / "env"), tmp_path)
    assert found == torches.Torch("2.99.1", there.resolve(), "given")


def test_wrong_torches_are_refused(tmp_path):
    too_old = re.escape(f"torch 2.1 is too old; {torches.oldest()} is the oldest")
    with pytest.raises(Unusable, match=rf"--torch 2\.1: {too_old}"):
        torches.find("2.1", tmp_path)
    with pytest.raises(Unusable, match=too_old):
        torches.find(str(put_torch(tmp_path / "old", "2.1.0")), tmp_path)
    with pytest.raises(Unusable, match=r"--torch here: there is no torch\. It must be a minor"):
        torches.find("here", tmp_path)


# --- the command


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, which must fail; return what it said."""
    assert main(["wheel", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("libgrad wheel: ")
    return captured.err


def project(folder: Path, cmake: str) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "scikit_build_core.build"\n'
        '[project]\nname = "small"\nversion = "1.0"\n'
    )
    (folder / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.18...4.1)\nproject(small LANGUAGES NONE)\n{cmake}\n"
    )
    return folder


def test_folder_without_a_project_is_refused(tmp_path, capsys):
    assert f"{tmp_path} is no project: it has no pyproject.toml\n" in failed(capsys, str(tmp_path))


def test_missing_tools_are_named_before_anything_is_built(tmp_path, capsys, monkeypatch):
    small = str(project(tmp_path / "small", ""))
    monkeypatch.setattr(tag.sys, "platform", "linux")
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    assert "needs scikit-build-core; run\n    pip install" in failed(capsys, small)
    monkeypatch.setattr(build, "check_project", lambda path: None)
    monkeypatch.setattr(tag.shutil, "which", lambda name, path: None)
    with pytest.raises(Unusable, match="needs auditwheel and patchelf, for the tag that says"):
        tag.check_tools("auto")
    tag.check_tools("linux")


@pytest.mark.skipif(not HAS_BACKEND, reason="scikit_build_core is not installed")
def test_project_that_uses_no_torch_is_refused(tmp_path, capsys):
    small = str(project(tmp_path / "small", ""))
    said = failed(capsys, small, "--plat", "linux", "--out", str(tmp_path / "dist"))
    assert "was not built with the torch at" in said
    assert "but with none that libgrad told it of. Its build must be scikit-build-core's" in said
    assert not (tmp_path / "dist").exists()


@pytest.mark.skipif(not HAS_BACKEND, reason="scikit_build_core is not installed")
def test_build_that_fails_shows_its_last_lines(tmp_path, capsys):
    small = str(project(tmp_path / "small", 'message(FATAL_ERROR "this is why")'))
    said = failed(capsys, small, "--plat", "linux", "--out", str(tmp_path / "dist"))
    assert re.search(rf"small does not build for torch {MINOR}\S*\. It said\n", said)
    assert "this is why" in said


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (",", "--torch names no torch"),
        (f"{MINOR},{MINOR}", f"--torch {MINOR},{MINOR}: torch {MINOR} is there twice"),
        ("two", "--torch two: there is no torch"),
    ],
)
@pytest.mark.skipif(not HAS_BACKEND, reason="scikit_build_core is not installed")
def test_wrong_list_of_torches_is_refused(wanted, said, tmp_path, capsys):
    small = str(project(tmp_path / "small", ""))
    assert said in failed(capsys, small, "--plat", "linux", "--torch", wanted)


# --- a package of C++ Functions


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def run_tests_of_cubes(
    python: str, project: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run the package's own tests, by the libgrad and the torch of another Python."""
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(folder)!r})\n"
        f"tests = runpy.run_path({str(project / 'tests' / 'test_cubes.py')!r})\n"
        "print(sum(1 for name, test in tests.items() if name[:5] == 'test_' and not test()))\n"
        "import torch; print(torch.__version__, sys.modules['cubes._C'].__file__)"
    )
    command = [python, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def check_package(path: Path, project: Path, folder: Path, minors: list[str]) -> None:
    """Look at the wheel, and run the package's tests from it."""
    unpacked(path, folder)
    modules = sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*.so"))
    folders = [f"cubes/_torch_{minor.replace('.', '_')}" for minor in minors]
    assert [name.rpartition("/")[0] for name in modules] == folders
    assert (folder / "cubes" / "_C.py").read_bytes() == CHOOSER.data
    (metadata,) = folder.glob("cubes-*.dist-info/METADATA")
    requires = re.findall("Requires-Dist: (torch.*)", metadata.read_text("utf-8"))
    assert requires == [requirement(torches.oldest(), minors[-1])]
    said = run_tests_of_cubes(sys.executable, project, folder)
    assert said.returncode == 0, said.stderr
    count, version, file = said.stdout.split()
    assert (count, version) == ("3", torch.__version__)
    assert f"/_torch_{MINOR.replace('.', '_')}/" in file


def test_package_becomes_a_wheel_with_a_tag(fat, tmp_path):
    path = fat["one"]
    assert re.fullmatch(r"cubes-0\.1\.0-cp\d+-cp\d+-.*\.whl", path.name)
    if tag._is_audited(fat["platform"]):
        assert "manylinux" in path.name
    check_package(path, fat["project"], tmp_path, [MINOR])


def test_package_becomes_one_wheel_for_two_torches(fat, tmp_path):
    if fat["several"] is None:
        pytest.skip(fat["reason"])
    check_package(fat["several"], fat["project"], tmp_path, fat["minors"])


def test_the_same_wheel_runs_with_the_other_torch(fat, tmp_path):
    if fat["other python"] is None:
        pytest.skip(f"{fat['reason']}, and libgrad")
    unpacked(fat["several"], tmp_path)
    said = run_tests_of_cubes(fat["other python"], fat["project"], tmp_path)
    assert said.returncode == 0, said.stderr
    count, version, _ = said.stdout.split()
    assert count == "3"
    assert ".".join(version.split(".")[:2]) == next(m for m in fat["minors"] if m != MINOR)

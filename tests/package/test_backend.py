"""The build backend: which torch libgrad is built with, and that an installed one is left alone."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support.builds import HAS_BACKEND
from support.paths import ROOT

SUPPORT = ROOT / "build_support"
TORCH_MINOR = ".".join(torch.__version__.split("+")[0].split(".")[:2])
HERE, OTHER = f"{TORCH_MINOR}.1", f"{TORCH_MINOR}.2"  # versions of a fake torch
ENVIRONMENTS = ["UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "CONDA_PREFIX"]
VARIABLES = ["LIBGRAD_TORCH", "PIP_BUILD_TRACKER", "UV", *ENVIRONMENTS]

needs_backend = pytest.mark.skipif(
    not HAS_BACKEND, reason="scikit_build_core, which the backend stands on, is not installed"
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """build_support/torch_found.py, in a build environment that has no torch."""
    module = load("torch_found", monkeypatch)
    monkeypatch.setattr(module, "imported_here", lambda: None)
    return module


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch, found: ModuleType) -> ModuleType:
    """build_support/backend.py, in a build environment that has no torch."""
    load("torch_pin", monkeypatch)
    return load("backend", monkeypatch)


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module of build_support, as it is in a process where no variable says anything."""
    for variable in [*VARIABLES, "CMAKE_ARGS", "SKBUILD_CMAKE_ARGS", "SKBUILD_CMAKE_DEFINE"]:
        monkeypatch.delenv(variable, raising=False)
    spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def put_torch(directory: Path, version: str) -> Path:
    """Write as much of a torch as the backend looks at; return its directory."""
    files = {
        "__init__.py": "raise SystemExit('torch was imported')\n",
        "share/cmake/Torch/TorchConfigVersion.cmake": f'set(PACKAGE_VERSION "{version}")\n',
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def environment(folder: Path, version: str | None = None, **options: bool) -> Path:
    """Make a virtual environment, with a torch of a version; return it."""
    venv.create(folder, symlinks=True, **options)
    if version:
        put_torch(site(folder) / "torch", version)
    return folder


def site(folder: Path) -> Path:
    (found,) = folder.glob("lib/python*/site-packages")
    return found


def run_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the build run in an environment, as pip's does in the one that it installs into."""
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setattr(sys, "prefix", str(folder))


def next_minor(minor: str, by: int = 1) -> str:
    major, number = minor.split(".")
    return f"{major}.{int(number) + by}"


# --- the torch that is found


def test_the_range_of_versions_is_that_of_cmake(found):
    oldest, newest = found.supported()
    text = (ROOT / "cmake" / "libgradTorch.cmake").read_text(encoding="utf-8")
    assert f"set(libgrad_OLDEST_TORCH {oldest})" in text
    assert found.number(oldest) <= found.number(TORCH_MINOR)
    assert found.requirement() == f"torch>={oldest},<{next_minor(newest)}"


def test_a_range_that_is_gone_is_said(found, monkeypatch, tmp_path):
    monkeypatch.setattr(found, "CMAKE", tmp_path / "libgradTorch.cmake")
    found.CMAKE.write_text("set(libgrad_OLDEST_TORCH 2.1)\n")
    with pytest.raises(found.Unusable, match="does not set libgrad_OLDEST_TORCH and"):
        found.supported()


@pytest.mark.parametrize("later", [0, 1, 90])  # unknown ones are taken, too
def test_installed_torch_is_taken_where_it_lies_and_not_imported(
    later, found, monkeypatch, tmp_path
):
    version = f"{next_minor(found.supported()[1], later)}.3"
    run_in(environment(tmp_path / "env", version), monkeypatch)
    torch, _ = found.find("")
    assert torch.version == version
    assert torch.directory == site(tmp_path / "env") / "torch"
    assert torch.minor == version.removesuffix(".3")


def test_pips_isolation_does_not_hide_it(found, monkeypatch, tmp_path):
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "sitecustomize.py").write_text("import sys\nsys.path[:] = sys.path[:1]\n")
    monkeypatch.setenv("PYTHONPATH", str(overlay))
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    run_in(environment(tmp_path / "env", HERE), monkeypatch)
    assert found.find("")[0].version == HERE


def test_torch_behind_a_path_file_is_seen(found, monkeypatch, tmp_path):
    there = put_torch(tmp_path / "elsewhere" / "torch", HERE)
    folder = environment(tmp_path / "env")
    (site(folder) / "more.pth").write_text(f"{there.parent}\n")
    run_in(folder, monkeypatch)
    assert found.find("")[0].directory == there


def test_torch_below_the_current_directory_is_not(found, monkeypatch, tmp_path):
    put_torch(tmp_path / "torch", HERE)
    monkeypatch.chdir(tmp_path)
    run_in(environment(tmp_path / "env"), monkeypatch)
    assert found.find("")[0] is None


def test_without_a_torch_the_supported_ones_are_required(found, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env"), monkeypatch)
    assert found.find("") == (None, found.requirement())


def test_one_that_the_build_environment_was_given_comes_first(found, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env", HERE), monkeypatch)
    given = found.torch_of(put_torch(tmp_path / "given", OTHER))
    monkeypatch.setattr(found, "imported_here", lambda: given)
    assert found.find("") == (given, found.requirement())


def test_too_old_a_torch_is_refused_and_stays(found, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env", "2.1.2"), monkeypatch)
    oldest, newest = found.supported()
    with pytest.raises(found.Unusable) as raised:
        found.find("")
    assert str(raised.value) == (
        f"torch 2.1.2 at {site(tmp_path / 'env') / 'torch'} is too old: libgrad supports "
        f"{oldest} to {newest}. An installed torch is never replaced: upgrade it yourself, as by "
        f"pip install 'torch=={newest}.*', or set LIBGRAD_TORCH={newest} to build libgrad for "
        "another environment"
    )
    assert found.find(newest) == (None, f"torch=={newest}.*")


def test_torch_without_its_cmake_files_is_refused(found, monkeypatch, tmp_path):
    folder = environment(tmp_path / "env")
    (site(folder) / "torch").mkdir()
    (site(folder) / "torch" / "__init__.py").touch()
    run_in(folder, monkeypatch)
    with pytest.raises(found.Unusable, match=r"has no share/cmake/Torch/TorchConfigVersion\.cmake"):
        found.find("")


# --- environments that a build cannot be in: uv's, those of python -m build


@pytest.mark.parametrize("variable", ENVIRONMENTS)
def test_environment_is_known_by_a_variable(variable, found, monkeypatch, tmp_path):
    target = environment(tmp_path / "target", HERE)
    run_in(environment(tmp_path / "build"), monkeypatch)
    monkeypatch.setenv(variable, str(target))
    assert found.find("")[0].directory == site(target) / "torch"
    monkeypatch.setenv("PIP_BUILD_TRACKER", str(tmp_path))  # pip is in the environment itself
    assert found.find("")[0] is None


def test_variable_that_names_the_build_environment_says_nothing(found, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "build"), monkeypatch)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "build"))
    assert list(found.environments()) == []
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "gone"))
    assert list(found.environments()) == []


def test_environment_of_another_python_says_nothing(found, monkeypatch, tmp_path):
    target = environment(tmp_path / "target")
    (target / "bin" / "python").unlink()
    (target / "bin" / "python").write_text(f"#!/bin/sh\necho '[[3, 5], \"{tmp_path}/x.py\"]'\n")
    (target / "bin" / "python").chmod(0o755)
    run_in(environment(tmp_path / "build"), monkeypatch)
    monkeypatch.setenv("VIRTUAL_ENV", str(target))
    assert found.find("")[0] is None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc, where uv shows")
@pytest.mark.parametrize("how", ["VIRTUAL_ENV", ".venv"])
def test_environment_of_uv_is_known_by_its_process(how, found, tmp_path):
    target = environment(tmp_path / "project" / ".venv", HERE)
    build = environment(tmp_path / "build")
    (tmp_path / "project" / "below").mkdir()
    hook = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from torch_found import find; print(find('')[0].directory)"
    )
    uv = (  # a process that starts the build as uv does
        "import os, subprocess, sys\n"
        f"env = dict(os.environ, UV='uv', VIRTUAL_ENV={str(build)!r})\n"
        f"subprocess.run([{str(build / 'bin' / 'python')!r}, '-c', sys.argv[1]], env=env, cwd='/')"
    )
    theirs = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if how == "VIRTUAL_ENV":
        theirs["VIRTUAL_ENV"] = str(target)
    folder = tmp_path if how == "VIRTUAL_ENV" else tmp_path / "project" / "below"
    command = [sys.executable, "-c", uv, hook]
    said = subprocess.run(command, env=theirs, cwd=folder, capture_output=True, text=True)
    assert said.stdout == f"{site(target) / 'torch'}\n", said.stderr


# --- LIBGRAD_TORCH


def test_minor_that_is_installed_is_taken_where_it_lies(found, monkeypatch, tmp_path):
    oldest, newest = found.supported()
    run_in(environment(tmp_path / "env", f"{oldest}.1"), monkeypatch)
    assert found.find(oldest)[0].version == f"{oldest}.1"
    assert found.find(newest) == (None, f"torch=={newest}.*")
    later = next_minor(newest)  # an unknown one, which may work
    assert found.find(later) == (None, f"torch=={later}.*")


@pytest.mark.parametrize("below", ["torch", "lib/python3.12/site-packages/torch", "."])
def test_path_leads_to_the_torch_below_it(below, found, tmp_path):
    there = put_torch(tmp_path / below, HERE)
    assert found.find(str(tmp_path)) == (found.Torch(there.resolve(), HERE), "")


def test_path_of_an_environment_leads_to_what_it_imports(found, tmp_path):
    there = put_torch(tmp_path / "elsewhere" / "torch", HERE)
    folder = environment(tmp_path / "env")
    (site(folder) / "more.pth").write_text(f"{there.parent}\n")
    assert found.find(str(folder))[0].directory == there


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "2.1",
            "LIBGRAD_TORCH is 2.1, but libgrad supports torch {} to {}. Set it to one",
        ),
        (
            HERE,
            f"LIBGRAD_TORCH is {HERE}, which is no minor version of torch. It must be",
        ),
        ("2.*", "LIBGRAD_TORCH is 2.*, which is no minor version of torch"),
        ("2", "LIBGRAD_TORCH is 2, which is no minor version of torch"),
        ("/no/where", "LIBGRAD_TORCH is /no/where, where no torch is. It must be a minor version"),
    ],
)
def test_wrong_setting_is_refused(setting, said, found):
    with pytest.raises(found.Unusable, match=re.escape(said.format(*found.supported()))):
        found.find(setting)


# --- the hooks


@needs_backend
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_torch_is_required_of_the_build_only_where_there_is_none(
    kind, backend, found, monkeypatch, tmp_path
):
    monkeypatch.chdir(ROOT)
    hook = getattr(backend, f"get_requires_for_build_{kind}")
    run_in(environment(tmp_path / "env"), monkeypatch)
    assert [each for each in hook() if "torch" in each] == [found.requirement()]
    put_torch(site(tmp_path / "env") / "torch", HERE)
    assert [each for each in hook({}) if "torch" in each] == []
    assert not any("torch" in each for each in backend.get_requires_for_build_sdist())


@needs_backend
def test_static_requirements_have_no_torch():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requires = re.search(r"^requires = (\[.*\])$", text, re.MULTILINE)[1]
    assert requires == '["scikit-build-core>=1.0"]'


@needs_backend
@pytest.mark.parametrize(
    "given",
    [{}, None, {"build-dir": "b"}, {"cmake.define.OTHER": ["1", "2"]}],
    ids=["empty", "none", "another", "a list"],
)
def test_cmake_is_told_where_torch_is(given, backend, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env", HERE), monkeypatch)
    settings = backend._chosen(given)
    assert settings == {**(given or {}), backend.DEFINE: str(site(tmp_path / "env") / "torch")}
    assert sys.modules["torch_pin"].dynamic_metadata({}, {}) == {
        "dependencies": [f"torch=={TORCH_MINOR}.*"]
    }


@needs_backend
@pytest.mark.parametrize("prefix", ["", "skbuild."])
def test_directory_among_the_config_settings_is_taken(prefix, backend, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env", HERE), monkeypatch)
    there = put_torch(tmp_path / "other", "2.99.0")
    key = f"{prefix}{backend.DEFINE}"
    for value in (str(there), [str(tmp_path), str(there)]):
        assert backend._chosen({key: value}) == {backend.DEFINE: str(there)}
        assert sys.modules["torch_pin"].minor == "2.99"


@needs_backend
def test_setting_of_the_environment_is_read(backend, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env", HERE), monkeypatch)
    monkeypatch.setenv("LIBGRAD_TORCH", str(put_torch(tmp_path / "other", "2.99.0")))
    assert backend._chosen(None) == {backend.DEFINE: str(tmp_path / "other")}


@needs_backend
@pytest.mark.parametrize("where", ["CMAKE_ARGS", "SKBUILD_CMAKE_DEFINE", "cmake.args"])
def test_directory_in_another_place_is_refused(where, backend, monkeypatch):
    settings = {}
    if where.isupper():
        monkeypatch.setenv(where, "-DLIBGRAD_TORCH_DIR=/opt/torch")
    else:
        settings[where] = ["-DLIBGRAD_TORCH_DIR=/opt/torch"]
    with pytest.raises(SystemExit, match=f"^libgrad: {where} sets LIBGRAD_TORCH_DIR.*LIBGRAD_"):
        backend.get_requires_for_build_wheel(settings)


@needs_backend
def test_build_without_a_torch_says_what_to_install(backend, found, monkeypatch, tmp_path):
    run_in(environment(tmp_path / "env"), monkeypatch)
    with pytest.raises(SystemExit, match="there is no torch to build with") as stop:
        backend.build_wheel(str(tmp_path))
    assert f"\n    pip install '{found.requirement()}'\n" in str(stop.value)


@needs_backend
def test_source_distribution_requires_the_oldest(backend, found):
    pin = sys.modules["torch_pin"]
    assert pin.dynamic_metadata({}, {}) == {"dependencies": [f"torch>={found.supported()[0]}"]}
    assert pin.dynamic_wheel({}) == {"dependencies": True}


# --- a real install


def repacked(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    """Write the wheel that an installed distribution came from."""
    name, version = (distribution.metadata[key] for key in ("Name", "Version"))
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    (tag, *_) = re.findall(r"(?m)^Tag: (.*)$", distribution.read_text("WHEEL"))
    scripts = {entry.name for entry in distribution.entry_points}
    record = []
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as wheel:
        for file in distribution.files:
            inside = file.as_posix()
            if inside.startswith("../"):
                inside = f"{stem}.data/scripts/{file.name}"
            if (
                file.name in scripts
                or file.suffix == ".pyc"
                or file.name in {"RECORD", "INSTALLER"}
            ):
                continue
            data = Path(distribution.locate_file(file)).read_bytes()
            wheel.writestr(inside, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            record.append(f"{inside},sha256={digest},{len(data)}\n")
        inside = f"{Path(distribution._path).name}/RECORD"
        wheel.writestr(inside, "".join([*record, f"{inside},,\n"]))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of what a build of libgrad needs, but for torch."""
    from packaging.requirements import Requirement

    folder = tmp_path_factory.mktemp("wheels")
    names, done = ["scikit-build-core", "cmake", "ninja"], set()
    while names:
        name = names.pop()
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # not needed here, or the build will say so
        if name not in done:
            done.add(name)
            repacked(distribution, folder)
            needs = map(Requirement, distribution.requires or [])
            names += [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
    return folder


def source_distribution(folder: Path) -> Path:
    program = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r}); import backend\n"
        "backend.build_sdist(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, folder], cwd=ROOT, check=True)
    (path,) = folder.glob("libgrad-*.tar.gz")
    return path


@needs_backend
@pytest.mark.parametrize("origin", ["folder", "source distribution"])
def test_isolated_install_leaves_the_torch_alone_and_builds_with_it(origin, wheels, tmp_path):
    there = Path(torch.__file__).parent
    seen = tmp_path / "site"  # what is installed here, but libgrad
    seen.mkdir()
    for entry in there.parent.iterdir():
        if "libgrad" not in entry.name:
            (seen / entry.name).symlink_to(entry)
    target = environment(tmp_path / "env")
    (site(target) / "seen.pth").write_text(f"{seen}\n")

    def state() -> list[tuple[int, int, int]]:
        stats = [path.stat() for path in (there, there / "version.py", there / "lib")]
        return [(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats]

    before = state()
    theirs = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    theirs["PIP_CONFIG_FILE"] = os.devnull
    theirs.pop("PIP_FIND_LINKS", None)  # there is no torch to be had
    said = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", target / "bin" / "python", "install", "-v"),
            *("--no-index", "--find-links", wheels),
            "--config-settings=cmake.define.LIBGRAD_BUILD_PYTHON=OFF",  # all but the compiling
            f"--config-settings=build-dir={tmp_path / 'build'}",
            ROOT if origin == "folder" else source_distribution(tmp_path),
        ],
        env=theirs,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    version = torch.__version__.split("+")[0]
    assert re.search(
        rf"libgrad: torch {version}\S* at {there.resolve()}\n", said.stdout + said.stderr
    )
    packages = site(target)
    assert not (packages / "torch").exists()
    assert state() == before
    (metadata,) = packages.glob("libgrad-*.dist-info/METADATA")
    requires = re.findall(r"(?m)^Requires-Dist: (torch.*)$", metadata.read_text("utf-8"))
    assert requires == [f"torch=={TORCH_MINOR}.*"]
    assert (packages / "libgrad" / "include" / "libgrad" / "libgrad.h").is_file()


@needs_backend
def test_install_beside_no_torch_asks_for_one(wheels, tmp_path, found):
    target = environment(tmp_path / "env")
    said = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", target / "bin" / "python", "install"),
            *("--no-index", "--find-links", wheels, ROOT),
        ],
        env={name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
        | {"PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert said.returncode != 0
    oldest, newest = found.supported()
    asked = f"torch(<{next_minor(newest)},>={oldest}|>={oldest},<{next_minor(newest)})"
    assert re.search(f"No matching distribution found for {asked}\n", said.stderr), said.stderr

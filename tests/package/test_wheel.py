"""What ``python -m libgrad wheel`` makes of several wheels, and the module in it that chooses."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib
import pickle
import re
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import libgrad
from libgrad.__main__ import main
from libgrad._command.callables import Unusable
from libgrad._command.wheel import torches
from libgrad._command.wheel.archive import File, Wheel, read, write
from libgrad._command.wheel.merge import merge
from libgrad._command.wheel.metadata import merged_metadata, requirement

MINOR = torches.INSTALLED
INFO = "pkg-1.0.dist-info"
TAGS = "cp311-cp311-linux_x86_64"
METADATA = "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n{}\nText.\n\nRequires-Dist: torch\n"


def extension(name: str, code: str = "", links: str = "libtorch_cpu.so") -> str:
    """As much of an extension module as is looked at."""
    return f"\x7fELF {links}\0PyInit_{name}\0{code}"


def wheel(files: dict[str, str], requires: str = "torch", name: str = "pkg-1.0") -> Wheel:
    lines = "".join(f"Requires-Dist: {each}\n" for each in requires.split("|") if each)
    texts = {
        f"{INFO}/METADATA": METADATA.format(lines),
        f"{INFO}/WHEEL": f"Wheel-Version: 1.0\nTag: {TAGS}\n",
        **files,
    }
    return Wheel(name, TAGS, {path: File(text.encode()) for path, text in texts.items()})


def merged(*files: dict[str, str], oldest: str = "3.0") -> dict[str, str]:
    """What comes of wheels for 3.1, 3.2, ... that hold these files."""
    wheels = {f"3.{1 + i}": wheel(each) for i, each in enumerate(files)}
    result = merge(wheels, oldest)
    return {path: file.data.decode() for path, file in result.files.items()}


def is_chooser(text: str) -> bool:
    return text.startswith('"""Takes the place of a module that was built for several torches')


# --- what is where


def test_equal_files_are_kept_once():
    files = {"pkg/__init__.py": "", "pkg/py.typed": "", "pkg/include/a.h": "int a;"}
    result = merged(files, dict(files))
    assert result.items() >= files.items()
    assert set(result) == {*files, f"{INFO}/METADATA", f"{INFO}/WHEEL"}


@pytest.mark.parametrize("name", ["_C.cpython-311-x86_64-linux-gnu.so", "_C.abi3.so", "_C.so"])
def test_extension_modules_stand_side_by_side(name):
    result = merged({f"pkg/{name}": extension("_C", "1")}, {f"pkg/{name}": extension("_C", "2")})
    assert result[f"pkg/_torch_3_1/{name}"].endswith("1")
    assert result[f"pkg/_torch_3_2/{name}"].endswith("2")
    assert f"pkg/{name}" not in result
    assert is_chooser(result["pkg/_C.py"])


def test_one_that_is_linked_to_torch_is_chosen_even_if_it_is_equal_or_alone():
    files = {"pkg/_C.so": extension("_C"), "pkg/_D.so": extension("_D", links="libm.so")}
    for wheels in ([files], [files, files]):
        result = merged(*wheels)
        assert is_chooser(result["pkg/_C.py"])
        assert "pkg/_torch_3_1/_C.so" in result
        assert "pkg/_D.so" in result  # equal, and linked to other libraries alone
        assert "pkg/_D.py" not in result


def test_module_that_one_torch_lacks_is_chosen():
    result = merged({"pkg/_D.so": extension("_D", links="")}, {})
    assert is_chooser(result["pkg/_D.py"])
    assert list(filter(re.compile("pkg/_torch").match, result)) == ["pkg/_torch_3_1/_D.so"]


def test_python_files_are_chosen_where_they_differ():
    result = merged({"pkg/a.py": "A = 1", "pkg/b.py": ""}, {"pkg/a.py": "A = 2", "pkg/b.py": ""})
    assert (result["pkg/_torch_3_1/a.py"], result["pkg/_torch_3_2/a.py"]) == ("A = 1", "A = 2")
    assert is_chooser(result["pkg/a.py"])
    assert result["pkg/b.py"] == ""


def test_module_outside_a_package_has_folders_of_its_own():
    result = merged({"cube.so": extension("cube")}, {"cube.so": extension("cube")})
    assert {"_cube_torch_3_1/cube.so", "_cube_torch_3_2/cube.so"} <= result.keys()
    assert is_chooser(result["cube.py"])


def test_headers_of_each_torch_are_united():
    result = merged({"pkg/include/a_3_1.h": "1"}, {"pkg/include/a_3_2.h": "2"})
    assert (result["pkg/include/a_3_1.h"], result["pkg/include/a_3_2.h"]) == ("1", "2")


# --- what cannot be merged


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            {"pkg/a.txt": "1"},
            {"pkg/a.txt": "2"},
            "pkg/a.txt: differs from torch to torch, and is",
        ),
        ({"pkg/__init__.py": "1"}, {"pkg/__init__.py": "2"}, "pkg/__init__.py: differs from torch"),
        (
            {"pkg/libx.so": "1"},
            {"pkg/libx.so": "2"},
            "pkg/libx.so: a shared library that is no",
        ),
        (
            {"pkg/libx.so": "1", "pkg/_C.so": extension("_C", links="libtorch.so libx.so")},
            {"pkg/libx.so": "1", "pkg/_C.so": extension("_C", links="libtorch.so libx.so")},
            "pkg/libx.so: a shared library that is no extension module cannot be chosen",
        ),
        (
            {"pkg/_C.so": extension("_C"), "pkg/_C.py": ""},
            {"pkg/_C.so": extension("_C"), "pkg/_C.py": ""},
            "pkg/_C.so: is replaced by a module of that name with the suffix .py, which pkg has",
        ),
    ],
    ids=["a text", "a package", "a library", "a library of a module", "a name twice"],
)
def test_what_cannot_be_chosen_is_named(first, second, said):
    with pytest.raises(Unusable, match=re.escape(said)):
        merged(first, second)


def test_library_that_nobody_loads_may_stay():
    files = {"pkg/libx.so": "1", "pkg/_C.so": extension("_C")}
    assert merged(files, files)["pkg/libx.so"] == "1"


def test_wheels_of_two_packages_are_refused():
    with pytest.raises(Unusable, match=r"not of one build: they are pkg-1\.0 and pkg-1\.1"):
        merge({"3.1": wheel({}), "3.2": wheel({}, name="pkg-1.1")}, "3.0")
    other = Wheel("pkg-1.0", "cp312-cp312-linux_x86_64", wheel({}).files)
    with pytest.raises(Unusable, match="cp311-cp311-linux_x86_64 and cp312"):
        merge({"3.1": wheel({}), "3.2": other}, "3.0")


def test_metadata_may_differ_in_torch_alone():
    with pytest.raises(Unusable, match="'Requires-Dist: numpy' and 'Requires-Dist: scipy'"):
        merge({"3.1": wheel({}, "torch|numpy"), "3.2": wheel({}, "torch|scipy")}, "3.0")
    with pytest.raises(Unusable, match="more than what it requires of torch: one is longer"):
        merged_metadata({"3.1": "Name: a\n\nB\n", "3.2": "Name: a\n\nB\n\n"}, "3.0")


# --- what it requires


@pytest.mark.parametrize(
    ("requires", "needed"),
    [
        ("torch==3.1.*", "torch>=3.0,<3.4"),
        ("torch", "torch>=3.0,<3.4"),
        ("Torch (>=2.0)", "torch>=3.0,<3.4"),
        ("torch[opt]==3.1.*", "torch[opt]>=3.0,<3.4"),
        ("torch==3.1.* ; sys_platform == 'linux'", "torch>=3.0,<3.4 ; sys_platform == 'linux'"),
        ("torch==3.1.*|torch>=2", "torch>=3.0,<3.4"),
        ("", "torch>=3.0,<3.4"),
        ("torch-geometric|torchvision", "torch-geometric|torchvision|torch>=3.0,<3.4"),
        (
            "torch>2; extra == 'gpu'",
            "torch>=3.0,<3.4 ; extra == 'gpu'|torch>=3.0,<3.4",
        ),
    ],
)
def test_requirement_on_torch_spans_what_is_inside(requires, needed):
    result = merge({"3.3": wheel({}, requires), "3.1": wheel({}, requires)}, "3.0")
    text = result.files[f"{INFO}/METADATA"].data.decode()
    head, _, description = text.partition("\n\n")
    assert re.findall("Requires-Dist: (.*)", head) == needed.split("|")
    assert description == "Text.\n\nRequires-Dist: torch\n"


def test_wheels_that_require_their_own_torch_become_one():
    pair = {minor: wheel({}, f"torch=={minor}.*|numpy") for minor in ("3.1", "3.2")}
    text = merge(pair, "3.0").files[f"{INFO}/METADATA"].data.decode()
    assert "Requires-Dist: torch>=3.0,<3.3\nRequires-Dist: numpy\n" in text


def test_range_ends_before_the_next_minor():
    assert requirement("2.9", "2.99") == "torch>=2.9,<2.100"


# --- the file


def test_record_has_the_digest_of_every_file(tmp_path):
    path = write(wheel({"pkg/a,b.txt": "text"}), tmp_path)
    assert path.name == f"pkg-1.0-{TAGS}.whl"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        rows = list(csv.reader(archive.read(f"{INFO}/RECORD").decode().splitlines()))
        assert [row[0] for row in rows if row[1]] == sorted(set(names) - {f"{INFO}/RECORD"})
        for name, digest, size in rows[:-1]:
            data = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
            assert (digest, size) == (f"sha256={expected.decode()}", str(len(data)))
        assert rows[-1] == [f"{INFO}/RECORD", "", ""]
        assert names[-1] == f"{INFO}/RECORD"
        assert archive.testzip() is None


def test_what_is_written_is_what_was_read(tmp_path):
    files = {"pkg/run.sh": File(b"#!/bin/sh\n", True), **wheel({}).files}
    path = write(Wheel("pkg-1.0", TAGS, files), tmp_path)
    assert read(path) == Wheel("pkg-1.0", TAGS, files)


def test_equal_wheels_have_equal_bytes(tmp_path, monkeypatch):
    forth = wheel({"pkg/a": "1", "pkg/b": "2"})
    back = Wheel(forth.name, forth.tags, dict(reversed(forth.files.items())))
    for folder in ("1", "2", "3"):
        (tmp_path / folder).mkdir()
    first = write(forth, tmp_path / "1").read_bytes()
    assert write(back, tmp_path / "2").read_bytes() == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = write(forth, tmp_path / "3")
    assert zipfile.ZipFile(path).infolist()[0].date_time == (2023, 11, 14, 22, 13, 20)


def test_file_that_is_no_wheel_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a-1-py3-none-any.whl", "w") as archive:
        archive.writestr("a.py", "")
    with pytest.raises(Unusable, match=r"a-1-py3-none-any\.whl is no wheel: it has no \.dist-info"):
        read(tmp_path / "a-1-py3-none-any.whl")


# --- the module that chooses


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Returns a function that installs what comes of wheels for 3.1, 3.2, ..."""
    before = set(sys.modules)

    def installed(*files: dict[str, str]) -> Path:
        for path, text in merged(*files).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    yield installed
    for name in set(sys.modules) - before:
        if name.split(".")[0] in {"pkg", "single"}:
            del sys.modules[name]


def source(number: int) -> str:
    return f"class A:\n    NUMBER = {number}\n"


@pytest.mark.parametrize(("version", "number"), [("3.1.0+cpu", 1), ("3.2.7", 2)])
def test_module_is_that_of_the_torch_at_hand(version, number, install, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version)
    folder = install(
        {"pkg/__init__.py": "from .a import A\n", "pkg/a.py": source(1)},
        {"pkg/__init__.py": "from .a import A\n", "pkg/a.py": source(2)},
    )
    pkg = importlib.import_module("pkg")
    assert number == pkg.A.NUMBER
    assert pkg.a is sys.modules["pkg.a"]
    assert pkg.a.__name__ == pkg.A.__module__ == "pkg.a"
    assert pkg.a.__package__ == "pkg"
    assert Path(pkg.a.__file__) == folder / "pkg" / f"_torch_3_{number}" / "a.py"
    assert pickle.loads(pickle.dumps(pkg.A)) is pkg.A
    assert not hasattr(pkg.a, "_load")  # nothing of the chooser is left


def test_module_outside_a_package_is_chosen_too(install, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "3.2.0")
    install({"single.py": source(1)}, {"single.py": source(2)})
    single = importlib.import_module("single")
    assert single.A.NUMBER == 2
    assert single is sys.modules["single"]


def test_missing_minor_says_which_are_inside_and_how_to_build_it(install, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.99.1+cu999")
    install(*({"pkg/__init__.py": "", "pkg/a.py": source(i)} for i in (1, 2, 3)))
    with pytest.raises(ImportError) as raised:
        importlib.import_module("pkg.a")
    assert str(raised.value) == (
        "pkg.a was built for torch 3.1, 3.2 and 3.3, but torch 2.99.1+cu999 is installed "
        f"({Path(torch.__file__).parent}). Run\n"
        "    pip install 'torch==3.3.*'\n"
        "or, in the sources of pkg, build it for the torch you have:\n"
        "    pip install --no-build-isolation .\n"
        "or a wheel for several:\n"
        "    python -m libgrad wheel . --torch 3.1,3.2,3.3,2.99"
    )
    assert "pkg.a" not in sys.modules
    monkeypatch.setattr(torch, "__version__", "3.1.0")
    assert importlib.import_module("pkg.a").A.NUMBER == 1


def test_without_torch_it_says_what_to_install(install, monkeypatch):
    install(*({"pkg/__init__.py": "", "pkg/a.py": source(i)} for i in (1, 2)))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"^pkg\.a needs torch 3\.1 and 3\.2, and none is inst"):
        importlib.import_module("pkg.a")


def test_guard_of_libgrad_knows_the_torches_of_its_wheel(monkeypatch, tmp_path):
    from libgrad import _compat

    for minor in ("2_9", "3_1", "3_2"):
        (tmp_path / f"_torch_{minor}").mkdir()
    monkeypatch.setattr(_compat, "__file__", str(tmp_path / "_compat.py"))
    assert _compat.torch_minors() == ["2.9", "3.1", "3.2"]
    monkeypatch.setattr(torch, "__version__", "2.9.3")
    _compat.check_torch()
    monkeypatch.setattr(torch, "__version__", "3.9.0")
    with pytest.raises(ImportError, match=r"built for torch 2\.9, 3\.1, 3\.2, but torch 3\.9\.0"):
        _compat.check_torch()


def test_info_says_which_torches_the_install_is_for(capsys):
    from libgrad._compat import torch_minors

    assert main(["info"]) == 0
    assert re.search(f"(?m)^built for +torch {', '.join(torch_minors())}$", capsys.readouterr().out)
    assert MINOR in torch_minors()
    assert libgrad._C.__file__

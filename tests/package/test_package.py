"""What the installed package holds and says of itself."""

from __future__ import annotations
import __future__

import ast
import doctest
import importlib.metadata
import inspect
import itertools
import operator
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support.paths import BENCHMARKS, ROOT

import libgrad
from libgrad import _C, _build_info
from libgrad._command.wheel.metadata import requirement
from libgrad._command.wheel.torches import oldest
from libgrad._compat import torch_minors

PACKAGE = Path(libgrad.include_dir()).parent
PARTS = tuple(f"_C/{name}.pyi" for name in ("findings", "graph", "hooks", "parts", "questions"))
TABLE = "torch/saved/table_{}.h"  # a header that CMake writes for each torch
TORCH_MINOR = ".".join(torch.__version__.split("+")[0].split(".")[:2])
PUBLIC = [name for name in libgrad.__all__ if name not in {"__version__", "functional", "types"}]
PUBLIC += [f"functional.{name}" for name in libgrad.functional.__all__]

each_public = pytest.mark.parametrize("name", PUBLIC)


def find(name: str) -> Any:
    """Return what is called `name` in libgrad."""
    return operator.attrgetter(name)(libgrad)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run another Python."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )


def test_public_names_are_those_of_all():
    assert libgrad.types is sys.modules["libgrad.types"]  # imported when it is asked for
    public = {
        name
        for name, value in vars(libgrad).items()
        if not name.startswith("_") and not isinstance(value, __future__._Feature)
    }
    assert public == {name.partition(".")[0] for name in PUBLIC} | {"types"}
    assert sorted(libgrad.__all__) == libgrad.__all__
    assert len(set(libgrad.__all__)) == len(libgrad.__all__)


@each_public
def test_public_object_says_in_a_sentence_what_it_does(name):
    doc = inspect.getdoc(find(name))
    first = doc.split("\n\n")[0]
    assert re.fullmatch(r"[A-Z][^\n]*[.]", first), first


@each_public
def test_public_object_is_libgrads_and_says_so(name):
    value = find(name)
    module, _, own = f"libgrad.{name}".rpartition(".")
    assert value.__module__ == module
    assert value.__name__ == own
    assert "_C" not in repr(value)
    assert pickle.loads(pickle.dumps(value)) is value


@each_public
def test_examples_of_a_docstring_print_what_they_say(name):
    names = {"torch": torch, "libgrad": libgrad, "warnings": warnings}
    value = find(name)
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(value, name, module=False, globs=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report: list[str] = []
        doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert not report, "".join(report)


def test_most_docstrings_have_examples():
    without = {name for name in PUBLIC if ">>>" not in (find(name).__doc__ or "")}
    assert without == {
        "AliveGraph",
        "AliveGraphs",
        "Finding",
        "Findings",
        "Frozen",
        "Graph",
        "Holder",
        "Node",
        "SilentWriteWarning",
        "cmake_dir",
        "include_dir",
        "is_grad_enabled",
        "is_inference_mode_enabled",
    }


@pytest.mark.parametrize("name", ["grad", "backward", "gradcheck", "gradgradcheck"])
def test_signature_is_torchs(name):
    def parameters(module):
        found = inspect.signature(getattr(module, name)).parameters.values()
        return [(p.name, p.default, p.kind) for p in found]

    assert parameters(libgrad) == parameters(torch.autograd)


def test_stub_names_what_the_extension_has():
    stubs = [PACKAGE / name for name in ("_C/__init__.pyi", *PARTS)]
    body = [d for stub in stubs for d in ast.parse(stub.read_text(encoding="utf-8")).body]
    names = {d.name for d in body if isinstance(d, (ast.FunctionDef, ast.ClassDef))}
    names |= {d.target.id for d in body if isinstance(d, ast.AnnAssign)}
    there = {name for name in vars(_C) if not name.startswith("__")} | {"__version__"}
    assert names - {"_Guard"} == there


@pytest.mark.parametrize(
    "path",
    [
        "py.typed",
        "_C/__init__.pyi",
        "_C/hooks.pyi",
        "include/libgrad/chain.h",
        "include/libgrad/checkpoint.h",
        "include/libgrad/gradient_hooks.h",
        "include/libgrad/hooks.h",
        "include/libgrad/diff.h",
        "include/libgrad/doctor.h",
        "include/libgrad/libgrad.h",
        "include/libgrad/functional.h",
        "include/libgrad/grad.h",
        "include/libgrad/gradcheck.h",
        "include/libgrad/graph.h",
        "include/libgrad/draw/page/page_files.h",
        "include/libgrad/torch/saved/table.h",
        f"include/libgrad/{TABLE.format(TORCH_MINOR.replace('.', '_'))}",
        "include/libgrad/draw.h",
        "include/libgrad/linear.h",
        "include/libgrad/name.h",
        "include/libgrad/python.h",
        "include/libgrad/plan.h",
        "include/libgrad/record.h",
        "include/libgrad/split.h",
        "include/libgrad/unused.h",
        "include/libgrad/why.h",
        "include/nlohmann/json.hpp",
        "share/cmake/libgrad/libgradConfig.cmake",
        "share/cmake/libgrad/libgradConfigVersion.cmake",
        "share/cmake/libgrad/libgradTargets.cmake",
        "share/cmake/libgrad/libgradTorch.cmake",
        "share/cmake/libgrad/libgradSaved.cmake",
        "share/cmake/libgrad/libgradModule.cmake",
    ],
)
def test_installed_package_has_the_file(path):
    assert (PACKAGE / path).is_file()


def test_the_readme_of_a_room_stays_with_the_sources():
    assert list(PACKAGE.rglob("README.md")) == []


def test_every_header_of_the_sources_is_installed():
    def headers(root):
        return {path.relative_to(root).as_posix() for path in root.rglob("*.h")}

    installed = headers(Path(libgrad.include_dir(), "libgrad"))
    made = {"draw/page/page_files.h"}  # by CMake
    made |= {TABLE.format(minor.replace(".", "_")) for minor in torch_minors()}
    assert headers(ROOT / "csrc" / "libgrad") == installed - made


def test_installed_files_name_no_directory_of_the_build():
    for path in [*PACKAGE.rglob("*.cmake"), *PACKAGE.rglob("*.h"), PACKAGE / "_build_info.py"]:
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path


def test_extension_is_small():
    assert Path(_C.__file__).stat().st_size < 3_200_000


def test_metadata_demand_the_torch_of_the_build_and_nothing_else():
    requires = importlib.metadata.requires("libgrad")
    minors = torch_minors()
    several = requirement(oldest(), minors[-1])  # of a wheel for several torches
    needed = several if len(minors) > 1 else f"torch=={_build_info.TORCH_MINOR}.*"
    assert [r for r in requires if "extra ==" not in r] == [needed]
    assert _build_info.TORCH_MINOR == TORCH_MINOR
    assert _build_info.TORCH_VERSION.startswith(f"{TORCH_MINOR}.")


def test_version_is_one_everywhere():
    versions = {libgrad.__version__, _C.__version__, importlib.metadata.version("libgrad")}
    assert len(versions) == 1
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", libgrad.__version__)


def test_pybind11_is_the_copy_inside_torch():
    header = Path(torch.__file__).parent / "include" / "pybind11" / "detail" / "common.h"
    text = header.read_text(encoding="utf-8")
    parts = [
        re.search(rf"#\s*define PYBIND11_VERSION_{part} (\w+)", text)[1]
        for part in ("MAJOR", "MINOR", "PATCH")
    ]
    assert _C.pybind11_version == ".".join(parts)


@pytest.mark.parametrize(
    ("error", "backward"),
    [
        (IndexError, lambda grad: grad.unsqueeze(7)),
        (torch.linalg.LinAlgError, lambda grad: torch.linalg.inv(torch.zeros(2, 2)).sum() * grad),
        (RuntimeError, lambda grad: grad @ torch.ones(2, 2, 2, 2, 3)),
        (ZeroDivisionError, lambda grad: grad * (1 // 0)),
    ],
)
def test_error_inside_a_backward_arrives_as_from_torch(error, backward):
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return backward(grad)

    x = torch.ones(2, requires_grad=True)
    raised = []
    for grad in (libgrad.grad, torch.autograd.grad):
        with pytest.raises(error) as info:
            grad(Fails.apply(x).sum(), x)
        raised.append((info.type, str(info.value)))
    assert raised[0] == raised[1]


def test_error_of_libtorch_arrives_with_its_type():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="igamma") as info:
        libgrad.grad(torch.igamma(x, x.detach()).sum(), x)
    assert info.type is NotImplementedError


def test_import_adds_little_to_that_of_torch():
    program = (
        "import sys, time, torch; before = set(sys.modules); start = time.process_time();"
        "import libgrad; print(time.process_time() - start, *set(sys.modules) - before)"
    )
    times = []
    for _ in range(3):
        run = python("-c", program)
        assert run.returncode == 0, run.stderr
        seconds, *modules = run.stdout.split()
        assert {name.split(".")[0] for name in modules} == {"libgrad"}
        times.append(float(seconds))
        if times[-1] < 0.05:
            break
    assert min(times) < 0.05


def declared(stub: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """Return what a stub declares, by names such as "Graph.to_text"; overloads by their first."""
    path = next(p for p in (Path(root) / stub for root in libgrad.__path__) if p.exists())
    found: dict[str, ast.FunctionDef | ast.ClassDef] = {}

    def read(body: list[ast.stmt], prefix: str) -> None:
        for item in body:
            if isinstance(item, (ast.FunctionDef, ast.ClassDef)) and item.name[0] != "_":
                found.setdefault(prefix + item.name, item)
                if isinstance(item, ast.ClassDef):
                    read(item.body, f"{item.name}.")

    read(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


STUBS = {"functional.pyi": libgrad.functional, "_C/__init__.pyi": _C} | dict.fromkeys(PARTS, _C)


@pytest.mark.parametrize("stub", STUBS)
def test_help_says_what_the_stub_says(stub: str) -> None:
    docs = {name: doc for name, d in declared(stub).items() if (doc := ast.get_docstring(d))}
    assert docs
    for name, doc in docs.items():
        assert inspect.getdoc(operator.attrgetter(name)(STUBS[stub])) == doc, name


@pytest.mark.parametrize("stub", STUBS)
def test_signature_is_that_of_the_stub(stub: str) -> None:
    for name, item in declared(stub).items():
        bound = operator.attrgetter(name)(STUBS[stub])
        if isinstance(item, ast.FunctionDef) and ast.get_docstring(item) and callable(bound):
            arguments = item.args
            listed = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
            parameters = inspect.signature(bound).parameters.values()
            plain = [p.name for p in parameters if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
            assert [a.arg for a in listed if a.arg != "self"] == [n for n in plain if n != "self"]


def test_every_type_of_a_result_is_documented_in_a_stub() -> None:
    items = {name: d for stub in STUBS for name, d in declared(stub).items()}
    types = {name for name in libgrad.types.__all__ if hasattr(_C, name)}
    assert len(types) > 15
    parts = {name for name in items if name.partition(".")[0] in types}
    assert [name for name in sorted(parts) if not ast.get_docstring(items[name])] == []


def test_the_stubs_of_parts_say_what_their_classes_have() -> None:
    bodies = [ast.parse((PACKAGE / name).read_text(encoding="utf-8")).body for name in PARTS]
    for stub in itertools.chain(*bodies):
        if isinstance(stub, ast.ClassDef):
            theirs = {name for name in vars(getattr(_C, stub.name)) if not name.startswith("_")}
            ours = {d.name for d in stub.body if isinstance(d, ast.FunctionDef)}
            ours |= {d.targets[0].id for d in stub.body if isinstance(d, ast.Assign)}  # text
            assert {name for name in ours if not name.startswith("_")} == theirs - {"Sequence"}


def test_the_stub_of_functional_says_what_the_extension_has() -> None:
    bound = {name for name in vars(_C.functional) if not name.startswith("_")}
    assert bound == declared("functional.pyi").keys()


@pytest.mark.parametrize(
    ("page", "name"), [("README.md", "overhead"), ("docs/memory.md", "memory")]
)
def test_the_page_shows_the_table_that_the_benchmark_wrote(page, name) -> None:
    table = (BENCHMARKS / "results" / f"{name}-cpu.md").read_text(encoding="utf-8")
    begin = f"<!-- {name}: benchmarks/results/{name}-cpu.md -->\n"
    shown = (ROOT / page).read_text(encoding="utf-8").split(begin)[1]
    assert shown.split(f"<!-- /{name} -->")[0] == table

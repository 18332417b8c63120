"""libgrad.load_inline: from a string (inline.cpp) to Functions, compiled once."""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import libgrad
from libgrad._function.compiler import find_compiler

SOURCE = (Path(__file__).parent / "inline.cpp").read_text(encoding="utf-8")
FUNCTIONS = {
    "cube": "Cube(x)",
    "affine": "mine::Affine(x, scale=2.0, bias=None, *, power=1, sign='+')",
    "weighted": "Weighted(xs, weights, shape=None)",
    "times": "Times(x, by=2, turn=None)",
}


class Compiler:
    """The compiler behind a script that counts its runs.

    While there is a file `prebuilt` it is what every source is compiled to.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.prebuilt = folder / "prebuilt"
        self.command = str(folder / "c++")
        Path(self.command).write_text(
            "#!/bin/sh\n"
            f'[ "$1" = --version ] && exec {shlex.join(find_compiler())} --version\n'
            f"echo run >> {shlex.quote(str(self.log))}\n"
            f"prebuilt={shlex.quote(str(self.prebuilt))}\n"
            'if [ -e "$prebuilt" ]; then sleep 0.2; cp "$prebuilt" library.so; exit; fi\n'
            f'exec {shlex.join(find_compiler())} "$@"\n'
        )
        os.chmod(self.command, 0o755)

    @property
    def runs(self) -> int:
        return self.log.read_text().count("run") if self.log.exists() else 0


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    """The counting compiler, a cache that is empty, and the module: the only real build here."""
    with pytest.MonkeyPatch.context() as patch:
        made = Compiler(tmp_path_factory.mktemp("compiler"))
        patch.setenv("CXX", made.command)
        patch.setenv("LIBGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        made.module = libgrad.load_inline("inline_test", SOURCE, FUNCTIONS)
        assert made.runs == 1
        yield made


@pytest.fixture
def functions(compiler):
    return compiler.module


@pytest.fixture
def quick(compiler):
    """The same compiler, in no time: each build gives the library of the real one."""
    compiler.prebuilt.write_bytes(Path(compiler.module.__file__).read_bytes())
    yield compiler
    compiler.prebuilt.unlink()


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values or (0.5, -1.5, 2.0), dtype=torch.float64, requires_grad=True)


def test_function_and_its_derivatives(functions):
    x = vector(2, 3)
    y = functions.cube(x)
    assert y.tolist() == [8, 27]
    assert libgrad.grad(y.sum(), x)[0].tolist() == [12, 27]
    assert gradcheck(functions.cube, x)
    assert gradgradcheck(functions.cube, x)


def test_defaults_and_keywords(functions):
    x, b = vector(), vector(1, 2, 3)
    assert torch.equal(functions.affine(x), 2 * x)
    assert torch.equal(functions.affine(x, 3), 3 * x)
    assert torch.equal(functions.affine(x, bias=b, power=2), 2 * x + 2 * b)
    assert torch.equal(functions.affine(sign="-", scale=1.0, x=x), -x)
    assert gradcheck(lambda x, b: functions.affine(x, 0.5, b, power=3), (x, b))


def test_lists_and_several_outputs(functions):
    x, y = vector(), vector(1, 2, 3)
    total, sine = functions.weighted([x, y], (1, 2.5))
    assert torch.equal(total, x + 2.5 * y)
    assert torch.equal(sine, total.sin())
    assert functions.weighted([x, y], [1, 2.5], shape=[3, 1])[1].shape == (3, 1)
    assert gradcheck(lambda x, y: functions.weighted([x, y], [1.0, -2.0]), (x, y))


@pytest.mark.parametrize("by", [3, 0.5, True, 2j])
def test_numbers_of_every_kind(functions, by):
    x = vector()
    torch.testing.assert_close(functions.times(x, by), x * by)
    torch.testing.assert_close(functions.times(x, by, 1 + 1j), x * by * (1 + 1j))
    with pytest.raises(TypeError, match="must be Scalar, but got str"):
        functions.times(x, str(by))


def test_signature_says_what_was_given(functions):
    assert str(inspect.signature(functions.affine)) == (
        "(x, scale=2.0, bias=None, *, power=1, sign='+')"
    )
    assert functions.affine.__name__ == "affine"
    assert "mine::Affine(Tensor, float, Tensor?, int, str)" in functions.affine.__doc__


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.cube(), r"cube\(\): argument 1 \(x\) is missing"),
        (lambda f: f.cube(1.0), r"argument 1 \(x\) must be Tensor, but got float"),
        (lambda f: f.cube(None), r"must be Tensor, but got NoneType"),
        (lambda f: f.cube(vector(), 2), "takes 1 arguments, but got 2"),
        (lambda f: f.cube(vector(), x=vector()), "has no argument 'x', or got it twice"),
        (lambda f: f.cube(vector(), y=1), "has no argument 'y'"),
        (lambda f: f.affine(vector(), "2"), r"argument 2 \(scale\) must be float, but got str"),
        (lambda f: f.affine(vector(), power=2.5), "must be int, but got float"),
        (lambda f: f.affine(vector(), power=2**40), "1099511627776, which its C"),
        (lambda f: f.affine(vector(), 1.0, None, 2), "takes 3 arguments, but got 4"),
        (lambda f: f.weighted([vector()], 1.0), r"\(weights\) must be float\[\], but got float"),
        (lambda f: f.weighted([vector(), None], [1.0, 1.0]), "must be Tensor"),
        (lambda f: f.weighted([vector()], ["1.0"]), r"must be float\[\], but got list"),
        (lambda f: f.weighted([vector()], "1"), r"must be float\[\], but got str"),
    ],
)
def test_arguments_that_do_not_fit_are_type_errors(functions, call, message):
    with pytest.raises(TypeError, match=message):
        call(functions)


def test_errors_of_c10_have_their_python_types(functions):
    with pytest.raises(ValueError, match=r"^bad sign \*$"):
        functions.affine(vector(), sign="*")


def test_transforms_and_forward_mode(functions):
    x = vector()
    slope = torch.func.grad(lambda x: functions.cube(x).sum())(x)
    torch.testing.assert_close(slope, 3 * x**2)
    ones = torch.ones_like(x)
    tangent = torch.func.jvp(functions.cube, (x.detach(),), (ones,))[1]
    torch.testing.assert_close(tangent, 3 * x.detach() ** 2)


def test_same_source_is_not_compiled_again(compiler):
    before = compiler.runs
    again = libgrad.load_inline("inline_test", SOURCE, FUNCTIONS)
    assert again is compiler.module
    renamed = libgrad.load_inline(
        "inline_test", SOURCE, dict(zip("abcd", FUNCTIONS.values(), strict=True))
    )
    assert renamed.a(torch.tensor(2.0)).item() == 8
    assert compiler.runs == before


def test_another_process_takes_it_from_the_cache(compiler):
    script = (
        "import sys, time, torch, libgrad\n"
        "start = time.perf_counter()\n"
        "m = libgrad.load_inline('inline_test', sys.argv[1], eval(sys.argv[2]))\n"
        "print(time.perf_counter() - start, m.cube(torch.tensor(2.0)).item())\n"
    )
    before = compiler.runs
    done = subprocess.run(
        [sys.executable, "-c", script, SOURCE, repr(FUNCTIONS)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, value = map(float, done.stdout.split())
    assert value == 8
    assert seconds < 1  # 0.02 on a quiet machine; a build takes more than ten
    assert compiler.runs == before


@pytest.mark.parametrize(
    "change",
    [
        {"cpp_source": SOURCE + "// another line\n"},
        {"extra_cflags": ["-DANOTHER"]},
        {"extra_ldflags": ["-lm"]},
        {"extra_include_paths": [Path("another")]},
        {"rebuild": True},
        {"functions": ["Cube(x)"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changed_is_compiled_again(quick, change):
    before = quick.runs
    given = {"name": "inline_test", "cpp_source": SOURCE, "functions": FUNCTIONS, **change}
    module = libgrad.load_inline(**given)
    assert quick.runs == before + 1
    if "functions" not in change:
        assert module is not quick.module
        assert module.cube(torch.tensor(2.0)).item() == 8
    assert quick.module.cube(torch.tensor(3.0)).item() == 27  # the first one still works


def test_one_of_many_threads_builds(quick, tmp_path):
    before = quick.runs
    modules = []

    def load() -> None:
        modules.append(libgrad.load_inline("threads", SOURCE, FUNCTIONS, build_directory=tmp_path))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(modules) == 4
    assert len(set(modules)) == 1
    assert quick.runs == before + 1
    assert len(list(tmp_path.glob("*.so"))) == 1
    assert not list(tmp_path.glob("*.build"))


def test_one_of_two_processes_builds(quick, tmp_path):
    script = (
        "import sys, libgrad\n"
        "libgrad.load_inline('two', sys.argv[1], ['Cube'], build_directory=sys.argv[2])\n"
    )
    command = [sys.executable, "-c", script, SOURCE, str(tmp_path)]
    before = quick.runs
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert quick.runs == before + 1


def test_killed_build_leaves_nothing_broken(quick, tmp_path):
    options = {"cpp_source": SOURCE, "functions": FUNCTIONS, "build_directory": tmp_path}
    script = (
        "import sys, libgrad\n"
        "libgrad.load_inline('killed', sys.argv[1], eval(sys.argv[2]), build_directory=sys.argv[3])"
    )
    arguments = [sys.executable, "-c", script, SOURCE, repr(FUNCTIONS), str(tmp_path)]
    process = subprocess.Popen(arguments)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.build")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not list(tmp_path.glob("*.so"))
    assert list(tmp_path.glob("*.build"))
    assert libgrad.load_inline("killed", **options).cube(torch.tensor(2.0)).item() == 8
    assert not list(tmp_path.glob("*.build"))


def test_two_modules_keep_to_themselves(quick):
    first = libgrad.load_inline("first", SOURCE, FUNCTIONS)
    second = libgrad.load_inline("second", SOURCE, FUNCTIONS)
    assert first.__file__ != second.__file__
    x = vector(2)
    y = first.cube(second.cube(x))
    assert y.item() == 512
    assert libgrad.grad(y, x)[0].item() == 9 * 2**8


def test_error_of_the_compiler_has_the_line_of_the_source(compiler, tmp_path):
    source = "struct Cube {};\n#error this cannot be\n"
    with pytest.raises(RuntimeError, match=r"line numbers of broken\.cpp are those") as raised:
        libgrad.load_inline(
            "broken",
            source,
            ["Cube"],
            extra_cflags=["-E"],  # reads, and stops there
            build_directory=tmp_path,
        )
    first = str(raised.value).split("\n\n", 1)[1].splitlines()[0]
    assert first.startswith("broken.cpp:2:2: error: ")
    assert "this cannot be" in first
    assert not list(tmp_path.glob("*.so"))


def test_arguments_must_be_as_many_as_those_of_forward(quick):
    with pytest.raises(ValueError, match=r"mine::Affine 1 arguments, but its forward takes 5"):
        libgrad.load_inline("inline_test", SOURCE, {**FUNCTIONS, "affine": "mine::Affine(x)"})


def test_default_must_be_of_the_type(quick):
    wrong = {**FUNCTIONS, "affine": "mine::Affine(x, scale='2', bias=None, power=1, sign='+')"}
    with pytest.raises(TypeError, match=r"argument 2 \(scale\) must be float, but got str"):
        libgrad.load_inline("inline_test", SOURCE, wrong)

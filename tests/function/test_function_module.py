"""The module that def_function writes to: its docstrings, and what it and libgrad agree on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch


@pytest.fixture(scope="module")
def m(gallery_module):
    return gallery_module


def test_docstring_has_the_types_of_arguments_and_result(m):
    assert m.exp.__doc__.startswith("exp(x: torch.Tensor) -> torch.Tensor\n")
    assert m.pair.__doc__.splitlines()[0].endswith(" -> tuple[torch.Tensor, ...]")


def test_errors_name_the_struct_without_its_namespace(m):
    x = torch.ones(2, dtype=torch.float64)
    with pytest.raises(NotImplementedError, match=r"^Opaque: "):
        torch.func.jvp(m.opaque, (x,), (x,))


def test_module_defined_twice_replaces_its_operators(gallery_module, cpp_build):
    from support import consumer

    again = consumer.load("gallery", cpp_build)
    x = torch.randn(3, dtype=torch.float64)
    assert torch.equal(torch.ops.gallery.cube(x), again.cube(x))


def test_wrong_name_of_what_is_mutated():
    from libgrad._function import bound as _bound

    bound = object.__new__(_bound.Bound)
    bound.name, bound.names, bound.types = "f", ["x", "n"], ["Tensor", "int"]
    for name in ("y", "n"):
        with pytest.raises(ValueError, match=f"def_function: f mutates '{name}', .* \\['x'\\]"):
            bound._find_mutated([name])


def test_module_of_another_libgrad_is_refused(m):
    code = """
import ctypes, libgrad
new = ctypes.pythonapi.PyCapsule_New
new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
try:
    libgrad._C.schema_types(new(1, b"libgrad.Erased/0", None))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "libgrad.Erased/0" in done.stdout
    assert "build it again" in done.stdout

"""`load_inline`: makes Python functions of C++ Functions in a string."""

from __future__ import annotations

import ast
import ctypes
import inspect
import os
import re
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import _C

if TYPE_CHECKING:
    from .compiler import Job

__all__ = ["load_inline"]

_SPEC = re.compile(r"\s*((?:[A-Za-z_]\w*::)*([A-Za-z_]\w*))\s*(\(.*\))?\s*", re.DOTALL | re.ASCII)
_loaded: dict[tuple[Any, ...], ModuleType] = {}
_binding = threading.Lock()


def load_inline(
    name: str,
    cpp_source: str,
    functions: str | Sequence[str] | Mapping[str, str],
    *,
    extra_cflags: Sequence[str] = (),
    extra_ldflags: Sequence[str] = (),
    extra_include_paths: Sequence[str | os.PathLike[str]] = (),
    build_directory: str | os.PathLike[str] | None = None,
    verbose: bool = False,
    rebuild: bool = False,
) -> ModuleType:
    """Return a module with the C++ Functions of `cpp_source`, compiled at the first call.

    `functions` names the structs to bind, each with its arguments as in a Python ``def``, with
    names and defaults: ``"Scale(x, factor=2.0, *, bias=None)"``. Without parentheses the arguments
    are passed by position. The Python name is the struct's, or the key of a dict.

    >>> source = '''
    ... struct Cube : torch::autograd::Function<Cube> {
    ...   static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ...     ctx->save_for_backward({x});
    ...     return x * x * x;
    ...   }
    ...   static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ...     auto x = ctx->get_saved_variables()[0];
    ...     return {grads[0] * 3 * x * x};
    ...   }
    ... };
    ... '''
    >>> m = libgrad.load_inline("cubes", source, {"cube": "Cube(x)"})
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> libgrad.grad(m.cube(x), x)
    (tensor(12.),)

    The source may use Tensor, TensorList, AutogradContext and variable_list without their
    namespaces. The headers of the operators that it calls (``at::sin``) are included; it includes
    other headers itself. The library is kept in `build_directory`, or in the user's cache
    (``LIBGRAD_CACHE_DIR``), by the source, the flags, the compiler and the versions of torch and
    libgrad: while these are the same, nothing is compiled. A change of the user's own headers is
    not noticed: `rebuild` compiles anyway. ``CXX`` chooses the compiler; it is run with -O1.

    Raises TypeError and ValueError for arguments that are not as above, and RuntimeError with the
    compiler's first errors, or when there is no compiler.
    """
    from .compiler import build, cache_dir  # here: few programs need it

    specs = _read_specs(functions)
    job = _job(name, cpp_source, specs, extra_cflags, extra_ldflags, extra_include_paths)
    folder = Path(build_directory) if build_directory is not None else cache_dir() / "inline"
    library = build(job, folder.absolute(), verbose, rebuild)
    with _binding:
        key = (str(library), tuple(repr(spec) for spec in specs))
        if rebuild or key not in _loaded:
            again = rebuild and any(loaded[0] == str(library) for loaded in _loaded)
            _loaded[key] = _bind(name, library, specs, again)
        return _loaded[key]


class _Spec(NamedTuple):
    """A function to bind."""

    name: str
    struct: str
    parameters: tuple[tuple[Any, ...], ...] | None  # (name, keyword_only[, default])


def _identifier(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"load_inline: {what} must be a str, but got {type(name).__name__}")
    if not (name.isidentifier() and name.isascii()):
        raise ValueError(
            f"load_inline: {what} must be an identifier (letters, digits, _): {name!r}"
        )
    return name


def _read_specs(functions: object) -> list[_Spec]:
    if isinstance(functions, str):
        functions = [functions]
    if isinstance(functions, Mapping):
        specs = [_read_spec(text, name) for name, text in functions.items()]
    elif isinstance(functions, Sequence):
        specs = [_read_spec(text) for text in functions]
    else:
        raise TypeError(
            "load_inline: functions must be a list of str or a dict of str to str, but got "
            f"{type(functions).__name__}"
        )
    names = [spec.name for spec in specs]
    if not specs:
        raise ValueError("load_inline: functions is empty; name the structs to bind")
    if len(set(names)) < len(names):
        raise ValueError(f"load_inline: functions has a name twice: {names}")
    return specs


def _read_spec(text: object, name: object = None) -> _Spec:
    if not isinstance(text, str):
        raise TypeError(
            f"load_inline: functions must hold str, but has {text!r} ({type(text).__name__})"
        )
    found = _SPEC.fullmatch(text)
    if not found:
        raise ValueError(
            f"load_inline: functions has {text!r}; expected a struct's name, and its arguments "
            "if they are to have names: 'Cube' or 'Cube(x, scale=2.0)'"
        )
    python_name = _identifier("a name in functions", found[2] if name is None else name)
    return _Spec(python_name, found[1], _read_parameters(text, found[3]) if found[3] else None)


def _read_parameters(text: str, parentheses: str) -> tuple[tuple[Any, ...], ...]:
    """Return the arguments of a ``def``: names, and defaults that are literals."""
    try:
        body = ast.parse(f"def f{parentheses}: pass").body
        if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
            raise SyntaxError("not one list of arguments")
        given = body[0].args
        if given.vararg or given.kwarg:
            raise SyntaxError("* and ** have no counterpart in C++")
        positional = [*given.posonlyargs, *given.args]
        missing: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
        defaults = [*missing, *given.defaults, *given.kw_defaults]
        return tuple(
            (_identifier("an argument's name", a.arg), i >= len(positional))
            + (() if default is None else (ast.literal_eval(default),))
            for i, (a, default) in enumerate(
                zip([*positional, *given.kwonlyargs], defaults, strict=True)
            )
        )
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"load_inline: functions has {text!r}, whose arguments are not as in a Python def "
            f"with literals for defaults: {error}"
        ) from None


def _flags(what: str, flags: object) -> tuple[str, ...]:
    if isinstance(flags, (str, bytes)) or not isinstance(flags, Sequence):
        raise TypeError(f"load_inline: {what} must be a list of str, but got {flags!r}")
    for flag in flags:
        if not isinstance(flag, (str, os.PathLike)):
            raise TypeError(f"load_inline: {what} must hold str, but has {flag!r}")
    return tuple(os.fsdecode(flag) for flag in flags)


_MAIN = """\
#include <libgrad/function/inline.h>
{operators}
using at::Tensor;
using at::TensorList;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
#include "{name}.cpp"
extern "C" __attribute__((visibility("default"))) const void* libgrad_inline(int index) {{
  switch (index) {{
{cases}
  }}
  return nullptr;
}}
"""


def _job(
    name: str,
    cpp_source: str,
    specs: list[_Spec],
    cflags: Sequence[str],
    ldflags: Sequence[str],
    include_paths: Sequence[str | os.PathLike[str]],
) -> Job:
    from .compiler import Job

    _identifier("name", name)
    if name == "main":
        raise ValueError("load_inline: name must not be 'main'")
    if not isinstance(cpp_source, str):
        raise TypeError(
            f"load_inline: cpp_source must be a str, but got {type(cpp_source).__name__}"
        )
    words = set(re.findall(r"[A-Za-z_]\w*", cpp_source, re.ASCII))
    for spec in specs:
        if spec.struct.split("::")[-1] not in words:
            raise ValueError(
                f"load_inline: functions names {spec.struct!r}, which cpp_source does not define"
            )
    operators = Path(torch.__file__).parent / "include" / "ATen" / "ops"
    main = _MAIN.format(
        name=name,
        operators="\n".join(
            f"#include <ATen/ops/{word}.h>"
            for word in sorted(words)
            if (operators / f"{word}.h").is_file()
        ),
        cases="\n".join(
            f"    case {i}: return libgrad::detail::inlined<::{spec.struct}>();"
            for i, spec in enumerate(specs)
        ),
    )
    return Job(
        name,
        cpp_source + "\n",
        main,
        _flags("extra_cflags", cflags),
        _flags("extra_ldflags", ldflags),
        _flags("extra_include_paths", include_paths),
    )


def _open(library: Path, again: bool) -> ctypes.CDLL:
    if not again:
        return ctypes.CDLL(str(library))
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        other = Path(folder, library.name)  # the loader does not load a known path again
        os.link(library, other)
        return ctypes.CDLL(str(other))


def _bind(name: str, library: Path, specs: list[_Spec], again: bool) -> ModuleType:
    get = _open(library, again).libgrad_inline
    get.argtypes, get.restype = [ctypes.c_int], ctypes.c_void_p
    module = ModuleType(name, f"C++ Functions of libgrad.load_inline, in {library}")
    module.__file__ = str(library)
    for i, spec in enumerate(specs):
        address = get(i)
        types = _C._inline_types(address)
        parameters = _checked(spec, types)
        shown = inspect.Signature([_parameter(j, *p) for j, p in enumerate(parameters)])
        doc = f"{spec.name}{shown}\n--\n\nC++ Function {spec.struct}({', '.join(types)})."
        _C._bind_inline(module, spec.name, doc, address, parameters)
    return module


def _checked(spec: _Spec, types: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the parameters of `spec`; raise unless they match `types`, all of known types."""
    parameters = [(None, False) for _ in types] if spec.parameters is None else spec.parameters
    if len(parameters) != len(types):
        raise ValueError(
            f"load_inline: functions gives {spec.struct} {len(parameters)} arguments, but its "
            f"forward takes {len(types)} after the context: ({', '.join(types)})"
        )
    for i, text in enumerate(types, 1):
        if not text:
            raise TypeError(
                f"load_inline: argument {i} of {spec.struct}::forward is of a type that cannot be "
                "passed; take Tensor, int, double, bool, string, Scalar, lists or optionals of "
                "these, or use libgrad::def_function in a project of your own"
            )
    return list(parameters)


def _parameter(i: int, name: str | None, keyword_only: bool, *default: Any) -> inspect.Parameter:
    kinds = inspect.Parameter
    kind = kinds.KEYWORD_ONLY if keyword_only else kinds.POSITIONAL_OR_KEYWORD
    return kinds(
        name or f"arg{i}",
        kinds.POSITIONAL_ONLY if name is None else kind,
        default=default[0] if default else kinds.empty,
    )

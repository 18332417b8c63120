"""The Python side of `libgrad::def_function`: binding, and calls that are not plain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils._python_dispatch import _disable_current_modes

from .. import _C
from .._dynamo import on_dynamo
from .schema import schema

_PROXY = torch._C._TorchDispatchModeKey.PROXY
Parameter = tuple[Any, ...]  # (name, keyword_only) or (name, keyword_only, default)


def bind(
    function: Callable[..., Any],
    module: str,
    erased: object,
    parameters: Sequence[Parameter],
    mutated: Sequence[str],
) -> Bound:
    """Register `function` with torch; return the object that it calls when a call is not plain.

    >>> import libgrad
    >>> y = libgrad._C._demo.swish(torch.ones(2, requires_grad=True))
    >>> type(y.grad_fn).__name__
    'SwishBackward'
    """
    torch.autograd.graph.Node.register(_C.register_node_class(erased))
    bound = Bound(function, module, erased, parameters, mutated)
    bound.define_operator()
    on_dynamo(lambda: torch.compiler.allow_in_graph(function))
    return bound


def define_kernel(module: str, name: str, erased: object, parameters: Sequence[Parameter]) -> None:
    """Define torch.ops.<module>.<name> for a kernel that reads memory."""
    types, single = _C.kernel_types(erased)
    space = module.replace(".", "_")
    padded = _padded(parameters, types)
    text = schema(name, [p[0] for p in padded], types, padded, [], single)
    if text is None:
        raise TypeError(f"def_kernel: {name} takes an argument of a type that no operator takes")
    _C.define_kernel(erased, space, name, text)


def _padded(parameters: Sequence[Parameter], types: Sequence[str]) -> list[Parameter]:
    """Return a parameter for each of `types`; parameters without a name are numbered."""
    given = [(p[0] or f"arg{i}", *p[1:]) for i, p in enumerate(parameters)]
    return given + [(f"arg{i}", False) for i in range(len(given), len(types))]


class Bound:
    """The calls of a C++ Function under a transform or a mode, or with a special tensor."""

    def __init__(
        self,
        function: Callable[..., Any],
        module: str,
        erased: object,
        parameters: Sequence[Parameter],
        mutated: Sequence[str],
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.space = module.replace(".", "_")
        self.erased = erased
        self.types: list[str] = _C.schema_types(erased)
        self.parameters = _padded(parameters, self.types)
        self.names = [p[0] for p in self.parameters]
        self.mutated = self._find_mutated(mutated)
        self.single: bool = _C.is_single(erased)
        self.operator: Callable[..., Any] | None = None
        self.seen = False  # True once forward is known to consist of operators

    def _find_mutated(self, names: Sequence[str]) -> list[int]:
        tensors = [n for n, t in zip(self.names, self.types, strict=True) if "Tensor" in t]
        for name in names:
            if name not in tensors:
                raise ValueError(
                    f"def_function: {self.name} mutates {name!r}, but its tensors are {tensors}"
                )
        if names:
            return [self.names.index(name) for name in names]
        if self.name.endswith("_") and not self.name.endswith("__") and "Tensor" in self.types:
            return [self.types.index("Tensor")]
        return []

    def __call__(self, values: object, *args: Any) -> Any:
        """Call the function with `args`; `values` holds the same arguments for C++."""
        if torch.compiler.is_exporting():
            return self._exported(args)
        tensors = tuple(_tensors(args))
        if has_torch_function(tensors):
            positional, keyword = self._split(args)
            return handle_torch_function(self.function, tensors, *positional, **keyword)
        call = _C.Call(self.erased, self.mutated, values)
        traced = any(_is_traced(tensor) for tensor in tensors)
        if not traced and not self.seen and torch._C._get_dispatch_mode(_PROXY) is not None:
            self._check_seen(call)
        if torch._C._are_functorch_transforms_active():
            return call.result(self.transformed(call))
        if traced:
            return call.apply_as_operator()
        return call.apply()

    def _exported(self, args: Sequence[Any]) -> Any:
        """Call the operator, which keeps the gradient in the exported program."""
        if self.operator is None:
            refused = [n for n, t in zip(self.names, self.types, strict=True) if not t]
            raise TypeError(
                f"torch.export: {self.name} takes an argument that no operator takes: "
                f"{', '.join(refused)}; without an operator the exported program would lose its "
                "gradient. Let forward take tensors, numbers, strings and lists of these"
            )
        positional, keyword = self._split(args)
        result = self.operator(*positional, **keyword)
        return result if self.single else tuple(result)

    def _split(self, args: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments in `args`."""
        first = next((i for i, p in enumerate(self.parameters) if p[1]), len(args))
        return tuple(args[:first]), dict(zip(self.names[first:], args[first:], strict=True))

    def _check_seen(self, call: _C.Call) -> None:
        """Raise when forward reads memory, which a tracer of operators does not see.

        torch.func.linearize and make_fx trace with tensors that have memory, so that only a wrong
        result would show it.
        """
        from torch._subclasses.fake_tensor import FakeTensorMode

        quiet = torch._C._DisableFuncTorch(), _disable_current_modes()
        with quiet[0], quiet[1], FakeTensorMode(allow_non_fake_inputs=True):
            empty = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in call.tensors]
            try:
                call.forward(empty)
            except Exception as error:
                if "libgrad::def_kernel" in str(error):
                    raise
        self.seen = True

    def transformed(self, call: _C.Call) -> list[torch.Tensor]:
        """Return the outputs of `call` under a transform of torch.func."""
        from . import transforms  # here: few programs need it

        return transforms.apply(self.name, call)

    def define_operator(self) -> None:
        """Define torch.ops.<module>.<name>, unless an argument has a type no operator takes."""
        text = schema(self.name, self.names, self.types, self.parameters, self.mutated, self.single)
        if text is not None and self.space.isidentifier() and self.name.isidentifier():
            _C.define_operator(
                self.erased, self.mutated, self.space, self.name, text, self.transformed
            )
            self.operator = getattr(getattr(torch.ops, self.space), self.name).default


def _tensors(args: Sequence[Any]) -> Iterator[torch.Tensor]:
    for arg in args:
        if isinstance(arg, torch.Tensor):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from (item for item in arg if isinstance(item, torch.Tensor))


def _is_traced(tensor: torch.Tensor) -> bool:
    """Return True for tensors that intercept operators, such as a compiler's."""
    return type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__

"""LibTorch's C++ autograd, complete: callable from Python, reusable from C++."""

from __future__ import annotations

import typing as _typing

from ._compat import check_torch as _check_torch

_check_torch()  # before the extension is loaded, which needs the symbols of the right torch

from . import functional
from ._C import (
    Finding,
    __version__,
    backward,
    grad,
    is_grad_enabled,
    is_inference_mode_enabled,
)
from ._check import check
from ._doctor.doctor import diagnose, doctor
from ._doctor.freeze import Frozen, freeze
from ._doctor.report import Findings, SilentWriteWarning
from ._function.function import Function
from ._function.inline import load_inline
from ._grad.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from ._gradcheck import GradcheckError, gradcheck, gradgradcheck
from ._graph.alive import AliveGraph, AliveGraphs, Holder, alive
from ._graph.graph import Graph, graph
from ._graph.node import Node, node, print_graph
from ._graph.record import record
from ._memory.chain import ChainCosts, checkpoint_optimal, measure_chain
from ._memory.checkpoint import checkpoint, checkpoint_sequential
from ._memory.hooks import compress, save_on_cpu, save_on_disk, saved_tensors_hooks
from ._memory.name import checkpoint_name, name
from ._memory.node_hooks import node_creation_hook, queue_callback
from ._paths import cmake_dir, include_dir

__all__ = [
    "AliveGraph",
    "AliveGraphs",
    "ChainCosts",
    "Finding",
    "Findings",
    "Frozen",
    "Function",
    "GradcheckError",
    "Graph",
    "Holder",
    "Node",
    "SilentWriteWarning",
    "__version__",
    "alive",
    "backward",
    "check",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_optimal",
    "checkpoint_sequential",
    "cmake_dir",
    "compress",
    "detect_anomaly",
    "diagnose",
    "doctor",
    "enable_grad",
    "freeze",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "include_dir",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "load_inline",
    "measure_chain",
    "name",
    "no_grad",
    "node",
    "node_creation_hook",
    "print_graph",
    "queue_callback",
    "record",
    "save_on_cpu",
    "save_on_disk",
    "saved_tensors_hooks",
    "set_grad_enabled",
    "types",
]

if _typing.TYPE_CHECKING:
    from . import types
else:

    def __getattr__(name):
        """Import libgrad.types at its first use."""
        if name == "types":
            import libgrad.types  # not `from . import types`, which would call __getattr__ again

            return libgrad.types
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


for _name in __all__:  # reprs, pickles and tracebacks show the public module
    if hasattr(globals().get(_name), "__module__"):
        globals()[_name].__module__ = "libgrad"
del _name

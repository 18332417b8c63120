"""Saved tensors that break double backward: values through which no gradient flows.

A Function that saves an intermediate tensor, neither an input nor an output, gives right first
derivatives and silently wrong second derivatives: double backward takes the tensor for a constant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .case import Case
from .compare import describe
from .inputs import differentiable

__all__ = ["lost_intermediates"]

CPP_FUNCTION = "CppFunction"  # the Python class of C++ nodes that torch has no class for

REMEDY = (
    "save inputs or outputs and compute it from them in backward, or return it as an output too"
)


def _nodes(outputs: list[Tensor]) -> list[Any]:
    """Return all nodes behind the outputs, each once, in a deterministic order."""
    found: dict[Any, None] = {}
    stack = [t.grad_fn for t in outputs if t.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node in found:
            continue
        found[node] = None
        stack += [n for n, _ in reversed(node.next_functions) if n is not None]
    return list(found)


def node_name(node: Any) -> str:
    """Return the Function's name as its author wrote it, from the name of its node."""
    name: str = node.name()  # XBackward, or torch::autograd::CppNode<(anonymous namespace)::X>
    name = name.removeprefix("torch::autograd::CppNode<").removesuffix(">").split("::")[-1]
    return name.removesuffix("Backward")


class _Packed:
    """A saved tensor, and whether the node that saved it is known."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.owned = tensor, False


class _Recording:
    """One run of a function, with every tensor that was saved in it."""

    def __init__(self, case: Case, diff: list[Tensor]) -> None:
        self.packed: list[_Packed] = []
        self.leaves = diff
        with torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack):
            self.outputs = list(case.pure(*diff))
        self.nodes = _nodes(self.outputs)
        self.known = {t.data_ptr() for t in [*self.outputs, *case.tensors, *diff]}
        self.known |= {p.tensor.data_ptr() for p in self.packed if p.tensor.requires_grad}

    def _pack(self, tensor: Tensor) -> _Packed:
        self.packed.append(_Packed(tensor))
        return self.packed[-1]

    def _unpack(self, packed: _Packed) -> Tensor:
        packed.owned = True
        return packed.tensor

    def suspects(self) -> list[tuple[str, str, Tensor]]:
        """Return (node, which, value) for saved tensors through which no gradient can flow."""
        found = []
        for node in self.nodes:
            saved = getattr(node, "saved_tensors", None)
            if saved is None and type(node).__name__ != CPP_FUNCTION:
                for name in dir(node):  # reading them calls _unpack, which marks them as owned
                    if name.startswith("_saved_"):
                        getattr(node, name)
                continue
            for i, t in enumerate(saved or ()):
                if t is not None:
                    found.append((node_name(node), f"saved tensor {i}", t))
            for name, value in getattr(node, "__dict__", {}).items():
                if isinstance(value, Tensor):
                    found.append((node_name(node), f"ctx.{name}", value))
        return [s for s in [*found, *self._unowned()] if self._is_lost(s[2])]

    def _unowned(self) -> list[tuple[str, str, Tensor]]:
        """Return the tensors that the hooks saw and that no node shows, if a C++ node hides any."""
        silent = [
            n
            for n in self.nodes
            if type(n).__name__ == CPP_FUNCTION and getattr(n, "saved_tensors", None) is None
        ]
        if not silent:
            return []
        names = " or ".join(dict.fromkeys(node_name(n) for n in silent))
        packed = [p for p in self.packed if not p.owned]
        return [(names, f"saved tensor {i}", p.tensor) for i, p in enumerate(packed)]

    def _is_lost(self, t: Tensor) -> bool:
        return differentiable(t) and not t.requires_grad and t.data_ptr() not in self.known


def lost_intermediates(case: Case) -> list[str]:
    """Return a sentence for each saved tensor that double backward takes for a constant.

    A tensor counts when a custom Function saved it, it requires no grad, it is neither an input nor
    an output, and it changes with the inputs: saving a constant is right.
    """
    try:
        here = _Recording(case, case.leaves())
        moved = [x.detach() * 1.01 + 0.01 for x in case.diff]
        there = _Recording(case, [x.requires_grad_() for x in moved])
        pairs = list(zip(here.suspects(), there.suspects(), strict=True))
    except Exception:  # no explanation: the numbers in the row say enough
        return []
    found = []
    for (name, which, value), (_, _, other) in pairs:
        if value.shape == other.shape and not torch.equal(value, other):
            found.append(
                f"{name} saves an intermediate: {which} ({describe(value)}) is neither an input "
                f"nor an output and requires no grad, so double backward takes it for a constant; "
                f"{REMEDY}"
            )
    return found

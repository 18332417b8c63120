"""Functions that are called with new nodes, and after a backward pass, by libgrad/node_hooks.h."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch._ops as operators
from torch.autograd.graph import Node

from .. import _C

__all__ = ["node_creation_hook", "queue_callback"]


def _check_callable(function: str, argument: str, value: object) -> None:
    if not callable(value):
        raise TypeError(
            f"{function}: {argument} must be callable, but is {type(value).__name__}; pass a "
            "function"
        )


_is_of_torch = hasattr(torch.autograd.graph, "node_creation_hook")


@functools.cache
def _let_higher_order_operators_pass() -> None:
    """Keep torch.cond and the like from looking for a kernel of the key that new_nodes.h uses."""
    key: Any = torch._C._parse_dispatch_key("TESTING_ONLY_GenericWrapper")
    operators._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(key)  # for later ones
    for operator in operators._higher_order_ops.values():
        operator.fallthrough(key)


class node_creation_hook:
    """Call `hook` with each node that is made, inside ``with``.

    It is torch.autograd.graph.node_creation_hook, on every torch. The node is complete: it has its
    ``next_functions``, its metadata and what it saved. The hook holds for the calling thread and
    for threads that work for it, such as the engine's in a backward with ``create_graph``. Of
    nested hooks, including those of torch and C++, the outermost is called first. An AccumulateGrad
    is passed when it is made, not when a graph uses it again. Hooks may be left in any order, as
    generators leave theirs.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with libgrad.node_creation_hook(lambda node: print(node.name())):
    ...     y = x * 2
    torch::autograd::AccumulateGrad
    MulBackward0

    The engine of an older torch, which has no such hook itself, tells nobody of new nodes; libgrad
    looks at what operators return instead. There the node of a Function or of TorchScript is passed
    when an operator has used what it returned, and not the AccumulateGrad that only it uses.

    Args:
        hook: ``hook(node)``; what it returns is ignored, what it raises is raised by the operator
            that made the node. To make a node itself is an error.

    Raises:
        TypeError: `hook` is not callable.
        RuntimeError: Another thread leaves it than has entered it; from an operator, when `hook`
            made a node.

    Source: torch.autograd.graph.node_creation_hook, at::impl::NodeCreationHooks.
    """

    def __init__(self, hook: Callable[[Node], Any]) -> None:
        _check_callable("node_creation_hook", "hook", hook)
        self.hook = hook
        self._entered: list[tuple[int, _C.NodeHookScope]] = []  # (thread, scope)

    def __enter__(self) -> None:
        if not _is_of_torch:
            _let_higher_order_operators_pass()
        scope = _C.NodeHookScope(self.hook)
        scope.__enter__()
        self._entered.append((threading.get_ident(), scope))

    def __exit__(self, *error: object) -> None:
        thread = threading.get_ident()
        mine = [i for i, (by, _) in enumerate(self._entered) if by == thread]
        if not mine:
            raise RuntimeError("node_creation_hook: left by a thread that did not enter it")
        self._entered.pop(mine[-1])[1].__exit__(*error)


def queue_callback(callback: Callable[[], Any]) -> None:
    """Call `callback` when the backward pass that this thread works for is done.

    It is torch.autograd.graph.queue_callback, on every torch. Callbacks run in the order in which
    they were queued; none runs when the pass fails. What `callback` raises is raised by backward.

    >>> x = torch.ones(2, requires_grad=True)
    >>> handle = x.register_hook(lambda grad: libgrad.queue_callback(lambda: print("done")))
    >>> libgrad.backward((x * 2).sum())
    done

    Raises:
        TypeError: `callback` is not callable.
        RuntimeError: No backward pass runs.

    Source: torch.autograd.graph.queue_callback, torch::autograd::Engine::queue_callback.
    """
    _check_callable("queue_callback", "callback", callback)
    _C.queue_callback(callback)

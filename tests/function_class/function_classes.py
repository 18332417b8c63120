"""The same Functions over any base, so that libgrad.Function can be compared with torch's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

import libgrad

BASES = {"libgrad": libgrad.Function, "torch": torch.autograd.Function}


def define(base: Any) -> SimpleNamespace:
    """Return Cube (forward with ctx), Scale (setup_context, jvp, vmap) and Sort over `base`."""

    class Cube(base):
        @staticmethod
        def forward(ctx, x, k=1):
            ctx.save_for_backward(x)
            ctx.k = k
            return x**3 * k

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x * ctx.k, None

    class Scale(base):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, w, k=2.0):
            return x * w * k, "twice"

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, w, ctx.k = inputs
            ctx.save_for_backward(x, w)
            ctx.save_for_forward(x, w)

        @staticmethod
        def backward(ctx, g, _):
            x, w = ctx.saved_tensors
            return g * w * ctx.k, g * x * ctx.k, None

        @staticmethod
        def jvp(ctx, tx, tw, _):
            x, w = ctx.saved_tensors
            return (tx * w + x * tw) * ctx.k, None

    class Sort(base):
        @staticmethod
        def forward(ctx, x):
            values, index = x.sort()
            ctx.mark_non_differentiable(index)
            ctx.save_for_backward(index)
            return values, index

        @staticmethod
        def backward(ctx, g, _):
            (index,) = ctx.saved_tensors
            return torch.zeros_like(g).scatter(0, index, g)

    return SimpleNamespace(Cube=Cube, Scale=Scale, Sort=Sort)


ours, theirs = define(libgrad.Function), define(torch.autograd.Function)


class Power(libgrad.Function):
    """x * x * k with a setup_context and without jvp, which torch.compile does not take."""

    @staticmethod
    def forward(x, k):
        return x * x * k

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.k = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 2 * x * ctx.k, None


def function(forward: Any, backward: Any = lambda ctx, *g: g[0], base: Any = None, **more: Any):
    """Make a Function of plain functions."""
    members = {name: staticmethod(f) if callable(f) else f for name, f in more.items()}
    members |= {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("F", (base or libgrad.Function,), members)

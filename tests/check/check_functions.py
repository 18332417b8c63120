"""Functions for the tests of `check`: one that is right, and many that are broken in one way."""

from __future__ import annotations

import threading
import time

import torch
from torch import Tensor
from torch.autograd import Function


class Cube(Function):
    """Right in every mode that torch knows."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x

    @staticmethod
    def jvp(ctx, t):
        (x,) = ctx.saved_tensors
        return t * 3 * x * x


class Round(Function):
    """A straight-through estimator: right on purpose, though not by the numbers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g

    @staticmethod
    def jvp(ctx, t):
        return t.clone()


class WrongGradient(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y * y, g * x * y  # 2 * x * y


class NoGradient(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None


class SavesIntermediate(Function):
    @staticmethod
    def forward(ctx, x):
        e = x.exp()
        ctx.save_for_backward(x, e)
        return x * e

    @staticmethod
    def backward(ctx, g):
        x, e = ctx.saved_tensors
        return g * (e + x * e)


class KeepsIntermediate(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.exp = x.exp()
        return ctx.exp * 1

    @staticmethod
    def backward(ctx, g):
        return g * ctx.exp


class SavesConstant(Function):
    """Right: what it saves and made itself does not depend on the input."""

    @staticmethod
    def forward(ctx, x):
        powers = torch.arange(x.numel(), dtype=x.dtype).view_as(x)
        ctx.save_for_backward(x, powers)
        return powers * x * x

    @staticmethod
    def backward(ctx, g):
        x, powers = ctx.saved_tensors
        return g * powers * 2 * x


class WrongThird(Function):
    """x ** 4 whose backward is a Function that saves an intermediate."""

    class Backward(Function):
        @staticmethod
        def forward(ctx, x, g):
            slope = 12 * x * x
            ctx.save_for_backward(x, g, slope)
            return g * 4 * x * x * x

        @staticmethod
        def backward(ctx, h):
            x, g, slope = ctx.saved_tensors
            return h * g * slope, h * 4 * x * x * x

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x * x

    @staticmethod
    def backward(ctx, g):
        return WrongThird.Backward.apply(ctx.saved_tensors[0], g)


class WrongJvp(Cube):
    @staticmethod
    def jvp(ctx, t):
        return t * 2


class WrongVmap(Function):
    """Its rule takes every batch for the first dimension of the first input."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x, y):
        return x * y.sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y.sum(), (g * x).sum().expand(y.shape)

    @staticmethod
    def vmap(info, in_dims, x, y):
        return torch.stack([WrongVmap.apply(a, y[0]) for a in x]), 0


class AssumesContiguous(Function):
    """Reads its input as if it were contiguous, as a kernel with a raw pointer does."""

    @staticmethod
    def forward(ctx, x):
        return torch.as_strided(x, x.shape, x.new_empty(x.shape).stride()) * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


class AssumesContiguousGradient(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        if g.stride() != torch.empty(g.shape).stride():
            flat = g.untyped_storage()
            g = torch.tensor(flat, dtype=torch.uint8).view(g.dtype)[: g.numel()].view(g.shape)
        return g * 2


class SmashesGradient(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g.mul_(2)


class KeepsInSinglePrecision(Function):
    @staticmethod
    def forward(ctx, x):
        return x.float() * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


class WrongWhenPartial(Function):
    """Returns its gradients packed, whichever are asked for."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            return g * y, g * x
        return None, g * y


class PinsStorage(Function):
    """Demands the very memory that it saved, which hooks need not keep."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.pointer = x.data_ptr()
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        if x.data_ptr() != ctx.pointer:
            raise RuntimeError("the saved tensor has moved")
        return g * 2 * x


class NoBfloat16(Function):
    @staticmethod
    def forward(ctx, x):
        if x.dtype == torch.bfloat16:
            raise TypeError("no kernel for bfloat16")
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def no_empty(x: Tensor) -> Tensor:
    """Fail on a tensor without entries, as a kernel launched with an empty grid does."""
    if x.numel() == 0:
        raise RuntimeError("invalid configuration argument")
    return x * 2


def through_numpy(x: Tensor) -> Tensor:
    """Leave autograd and come back, as a function written for numpy does."""
    return torch.from_numpy(x.detach().numpy() * 2)


def silent_writer(x: Tensor) -> Tensor:
    y = x * 2
    x.detach().numpy().fill(0)
    return y


def loud_writer(x: Tensor) -> Tensor:
    return x.mul_(2) * x


calls = threading.local()


def moody(x: Tensor) -> Tensor:
    """Count its calls, and be another function each time."""
    calls.count = getattr(calls, "count", 0) + 1
    return x * calls.count


_buffer = torch.zeros(())


def shares_a_buffer(x: Tensor) -> Tensor:
    """Be right as long as one thread calls it at a time."""
    global _buffer
    _buffer = x
    time.sleep(0.002)
    return _buffer * 2


def leaves_out_a_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    return x * 2, x.detach() * 3


def breaks_the_graph(x: Tensor) -> Tensor:
    return x * 2 if x.sum().item() > 0 else x

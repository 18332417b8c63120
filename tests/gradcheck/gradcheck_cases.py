"""Functions with right and wrong derivatives of every kind, for tests of gradcheck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad

import libgrad


def make(base: type, name: str, **members: Any) -> type:
    """A subclass of `base`, a Function of torch or of libgrad, with static methods."""
    return type(name, (base,), {k: staticmethod(v) for k, v in members.items()})


def saving(ctx: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Save what most backwards here want, and return `y`."""
    ctx.save_for_backward(x)
    return y


def square(base: type, factor: float = 1.0) -> Callable[..., Any]:
    """x², with a derivative that is wrong by `factor`."""
    return make(
        base,
        "Square",
        forward=lambda ctx, x: saving(ctx, x, x * x),
        backward=lambda ctx, g: 2 * factor * ctx.saved_tensors[0] * g,
    ).apply


def without_zeros(base: type) -> Callable[..., Any]:
    """x, with a backward that fails on None."""

    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x.clone()

    def backward(ctx, g):
        if g is None:
            raise RuntimeError("no gradient came")
        return g

    return make(base, "NoNone", forward=forward, backward=backward).apply


def jittery(base: type, size: float) -> Callable[..., Any]:
    """x, with a random backward."""
    return make(
        base,
        "Jittery",
        forward=lambda ctx, x: x.clone(),
        backward=lambda ctx, g: g * (1 + size * torch.rand_like(g)),
    ).apply


def unbatched(base: type) -> Callable[..., Any]:
    """x, with a backward that vmap cannot map over."""
    return make(
        base,
        "Unbatched",
        forward=lambda ctx, x: x.clone(),
        backward=lambda ctx, g: g * (2 - float(g.sum() < 1e9)),
    ).apply


def wrong_jvp(base: type, factor: float) -> Callable[..., Any]:
    """2 x, with a forward mode that is wrong by `factor`."""
    return make(
        base,
        "Forward",
        forward=lambda ctx, x: 2 * x,
        backward=lambda ctx, g: 2 * g,
        jvp=lambda ctx, t: 2 * factor * t,
    ).apply


def hooked(hook: Callable[[torch.Tensor], Any], f: Callable[..., Any] = torch.clone) -> Any:
    """`f`, with a hook on the gradient of its output."""

    def function(*xs):
        y = f(*xs)
        y.register_hook(hook)
        return y

    return function


def scaled_tangent(x: torch.Tensor) -> torch.Tensor:
    """x, with a wrong tangent where forward mode is on."""
    if forward_ad._current_level < 0:
        return x.clone()
    primal, tangent = forward_ad.unpack_dual(x)
    return forward_ad.make_dual(primal, tangent * 1.1)


def fails(function: Callable[..., Any], inputs: Any, **options: Any) -> libgrad.GradcheckError:
    """Return the GradcheckError that gradcheck raises."""
    with pytest.raises(libgrad.GradcheckError) as info:
        libgrad.gradcheck(function, inputs, **options)
    return info.value


def leaf(*shape: int, dtype: torch.dtype = torch.double) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype, requires_grad=True)


def complex_leaf(*shape: int) -> torch.Tensor:
    return leaf(*shape, dtype=torch.cdouble)


FORWARD = {"check_forward_ad": True}
BATCHED = {"check_batched_grad": True}
MOST = {**FORWARD, **BATCHED}
ALL = {**FORWARD, **BATCHED, "check_batched_forward_grad": True, "check_grad_dtypes": True}


def plus_integers(x: torch.Tensor) -> Any:
    return torch.max(x, 0)


# name: (function, makes the inputs, options)
RIGHT: dict[str, tuple[Callable[..., Any], Callable[[], Any], dict[str, Any]]] = {
    "one tensor": (lambda x: x.tanh() * x, lambda: leaf(3), ALL),
    "several": (
        lambda a, b, c: (a @ b, (a * a).sum(), b.exp() * c),
        lambda: (leaf(2, 3), leaf(3, 2), leaf(2)),
        ALL,
    ),
    "list of outputs": (lambda x: [x.sin(), x.cos()], lambda: [leaf(2)], ALL),
    "other arguments": (lambda x, n, s: x**n, lambda: (leaf(2), 3, "s"), ALL),
    "constant input": (lambda x, w: x * w, lambda: (leaf(2), torch.ones(2)), {}),
    "unused input": (lambda x, y: x * 2, lambda: (leaf(2), leaf(2)), ALL),
    "integers behind": (plus_integers, lambda: leaf(3, 2), ALL),
    "integer input": (lambda x, i: x[i], lambda: (leaf(3), torch.tensor([0, 2])), FORWARD),
    "no outputs": (lambda x: (), lambda: leaf(2), {}),
    "constant": (lambda x: torch.ones_like(x), lambda: leaf(2), {}),
    "input itself": (lambda x: x, lambda: leaf(2), {}),
    "scalar": (lambda x: x.sin(), lambda: leaf(), ALL),
    "empty": (lambda x: x * 2, lambda: leaf(0, 3), {}),
    "not contiguous": (lambda x: x * x, lambda: leaf(2, 3).t(), ALL),
    "not contiguous output": (lambda x: x.t() * 2, lambda: leaf(2, 3), ALL),
    "same input twice": (lambda x, y: x * y, lambda: (leaf(2),) * 2, {}),
    "complex": (lambda z: z * z.conj() + z.exp(), lambda: complex_leaf(3), MOST),
    "real to complex": (lambda x: torch.complex(x, x * x), lambda: leaf(3), MOST),
    "complex to real": (lambda z: (z.abs(), z.angle()), lambda: complex_leaf(3), MOST),
    "real and complex": (
        lambda x, z: (x * z, x.sin(), z.real),
        lambda: (leaf(2), complex_leaf(2)),
        MOST,
    ),
    "conjugate input": (
        lambda z: z * z,
        lambda: complex_leaf(2).detach().conj().requires_grad_(),
        {},
    ),
    "half of complex": (
        lambda z: z.real.to(torch.bfloat16),
        lambda: torch.ones(2, dtype=torch.cdouble, requires_grad=True),
        {"eps": 0.5, "atol": 0.1},
    ),
    "wants gradients itself": (
        lambda x: torch.autograd.grad((x**3).sum(), x, create_graph=True)[0],
        lambda: leaf(12),
        {},
    ),
    "tolerant": (
        lambda x: jittery(torch.autograd.Function, 1e-9)(x),
        lambda: leaf(2),
        {"nondet_tol": 1e-6},
    ),
    "sparse": (
        lambda x: x.to_dense() * 2,
        lambda: torch.eye(2).double().to_sparse().requires_grad_(),
        {"masked": True},
    ),
    "sparse gradient unchecked": (lambda w: w[0] * 2, lambda: leaf(2, 2), {"masked": True}),
    **{
        f"{base.__module__} function": (square(base), lambda: leaf(3), {"check_grad_dtypes": True})
        for base in (torch.autograd.Function, libgrad.Function)
    },
}

FAILS = hooked(lambda g: g * 1.01)
WRONG: dict[str, tuple[Callable[..., Any], Callable[[], Any], dict[str, Any]]] = {
    "hook": (FAILS, lambda: leaf(3), {}),
    "hook, complex": (FAILS, lambda: complex_leaf(3), {}),
    "hook, real to complex": (hooked(lambda g: g * 1.01, lambda x: x * 1j), lambda: leaf(3), {}),
    "hook, complex to real": (
        hooked(lambda g: g * 1.01, lambda z: z.real * 2),
        lambda: complex_leaf(3),
        {},
    ),
    "second output": (lambda x: (x * 2, FAILS(x)), lambda: leaf(3), {}),
    "second input": (lambda x, y: x * FAILS(y), lambda: (leaf(3), leaf(3)), {}),
    "not multiplied": (hooked(lambda g: g + 1e-7), lambda: leaf(2), {}),
    "detached": (lambda x: x.detach() * 2, lambda: leaf(2), {}),
    "forward mode": (scaled_tangent, lambda: leaf(2), FORWARD),
    "forward mode, complex": (scaled_tangent, lambda: complex_leaf(2), FORWARD),
    "forward mode alone": (
        scaled_tangent,
        lambda: leaf(2),
        {**FORWARD, "check_backward_ad": False},
    ),
    "detached in part": (lambda x: x.detach() * x, lambda: leaf(2), {}),
    "sparse": (
        lambda x: FAILS(x.to_dense()),
        lambda: torch.eye(2).double().to_sparse().requires_grad_(),
        {},
    ),
    "sparse gradient": (
        lambda w: torch.nn.functional.embedding(torch.tensor([1]), w, sparse=True),
        lambda: leaf(3, 2),
        {},
    ),
}
for _base in (torch.autograd.Function, libgrad.Function):
    WRONG |= {
        f"{_base.__module__}: {name}": (function, lambda: leaf(3), options)
        for name, function, options in [
            ("wrong", square(_base, 1.01), {}),
            ("zero", square(_base, 0.0), {}),
            ("no None", without_zeros(_base), {}),
            ("jitter", jittery(_base, 1e-7), {}),
            ("unbatched", unbatched(_base), BATCHED),
            ("wrong jvp", wrong_jvp(_base, 1.5), FORWARD),
        ]
    }

SHAPES = {
    "shape": lambda x: torch.cat([x, x]) if bool((x >= 1).all()) else x,
    "dtype": lambda x: x.float() if bool((x >= 1).all()) else x,
}


def raises(error: BaseException) -> Callable[..., Any]:
    def function(*_):
        raise error

    return function


# name: (function, makes the inputs, options); all of them raise, whatever raise_exception says
MISUSED: dict[str, tuple[Callable[..., Any], Callable[[], Any], dict[str, Any]]] = {
    "nothing requires grad": (torch.sin, lambda: torch.ones(2), {}),
    "no tensors": (lambda x: x, lambda: (1, 2), {}),
    "stride 0": (torch.sin, lambda: leaf(1).expand(2, 2), {}),
    "sparse output": (lambda x: x.to_sparse(), lambda: leaf(2), {}),
    "no modes": (torch.sin, lambda: leaf(2), {"check_backward_ad": False}),
    "batched without backward": (
        torch.sin,
        lambda: leaf(2),
        {**FORWARD, **BATCHED, "check_backward_ad": False},
    ),
    "batched without forward": (torch.sin, lambda: leaf(2), {"check_batched_forward_grad": True}),
    "shape changes": (SHAPES["shape"], lambda: torch.ones(1).double().requires_grad_(), {}),
    "dtype changes": (SHAPES["dtype"], lambda: torch.ones(1).double().requires_grad_(), {}),
    "no result": (lambda x: None, lambda: leaf(2), {}),
    "a number": (lambda x: 1.0, lambda: leaf(2), {}),
    "ValueError": (raises(ValueError("v")), lambda: leaf(2), {}),
    "RuntimeError": (raises(RuntimeError("r")), lambda: leaf(2), {}),
    "KeyboardInterrupt": (raises(KeyboardInterrupt("k")), lambda: leaf(2), {}),
    "in the backward": (hooked(lambda g: 1 // 0), lambda: leaf(2), {}),
    "in the batched backward": (
        hooked(lambda g: {}["x"] if torch._C._functorch.is_legacy_batchedtensor(g) else g),
        lambda: leaf(2),
        BATCHED,
    ),
    "no forward mode": (square(torch.autograd.Function), lambda: leaf(2), FORWARD),
    "unknown option": (torch.sin, lambda: leaf(2), {"epsilon": 1}),
}

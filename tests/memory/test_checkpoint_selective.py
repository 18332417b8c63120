"""Hooks around a checkpoint, and the tensors that it keeps by a policy or by their names."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import warnings
import weakref

import pytest
import torch
import torch.utils.checkpoint as theirs
from memory.test_checkpoint import grad

import libgrad

KNOWN = "respect_saved_tensors_hooks" in inspect.signature(theirs.checkpoint).parameters
TORCHS = functools.partial(theirs.checkpoint, use_reentrant=False)
BOTH = [
    pytest.param(libgrad.checkpoint, id="libgrad"),
    pytest.param(
        TORCHS,
        id="torch",
        marks=pytest.mark.skipif(not KNOWN, reason="this torch has no respect_saved_tensors_hooks"),
    ),
]
both = pytest.mark.parametrize("checkpoint", BOTH)
choices = pytest.mark.parametrize("respect", [True, False])

policy = functools.partial(theirs.create_selective_checkpoint_contexts, [torch.ops.aten.mm.default])
W = torch.linspace(-1, 1, 16).reshape(4, 4)


def leaf() -> torch.Tensor:
    return torch.linspace(1, 2, 8).reshape(2, 4).requires_grad_()  # W is 4 by 4, results 2 by 4


def function(x):
    """One product, which the policy saves, and two more tensors that are recomputed."""
    return (x @ W).tanh().sin()


class Watched:
    """Hooks that tell the shapes and dtypes that they see."""

    def __init__(self):
        self.packed = []
        self.unpacked = 0

    def pack(self, tensor):
        self.packed.append((tensor.shape, tensor.dtype, tensor.requires_grad))
        return tensor.detach().double()

    def unpack(self, tensor):
        self.unpacked += 1
        return tensor.float()

    def hooks(self):
        return torch.autograd.graph.saved_tensors_hooks(self.pack, self.unpack)


@both
@choices
def test_hooks_pack_what_the_policy_saves_if_they_are_to(checkpoint, respect):
    x, watched = leaf(), Watched()
    with watched.hooks():
        y = checkpoint(function, x, context_fn=policy, respect_saved_tensors_hooks=respect)
    assert len(watched.packed) == 1 + respect  # the input
    if respect:
        assert watched.packed[1] == ((2, 4), torch.float32, False)
    assert torch.equal(grad(y, x), grad(function(x), x))
    assert watched.unpacked == 1 + respect


@both
def test_without_a_choice_it_warns_where_hooks_miss_a_tensor(checkpoint):
    x, watched = leaf(), Watched()
    with (
        pytest.warns(FutureWarning, match="respect_saved_tensors_hooks=True") as told,
        watched.hooks(),
    ):
        y = checkpoint(function, x, context_fn=policy)
    assert len(watched.packed) == 1
    assert torch.equal(grad(y, x), grad(function(x), x))
    if not KNOWN:
        assert told[0].filename == __file__


@both
def test_nothing_is_told_where_hooks_miss_nothing(checkpoint):
    x, watched = leaf(), Watched()
    nothing = functools.partial(theirs.create_selective_checkpoint_contexts, lambda *_, **__: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(function, x, context_fn=policy)
        checkpoint(lambda t: checkpoint(function, t, context_fn=policy), x)
        with watched.hooks():
            checkpoint(function, x)
            checkpoint(function, x, context_fn=nothing)
            with torch.no_grad():
                checkpoint(function, x, context_fn=policy)
    assert len(watched.packed) == 2


@both
def test_hooks_inside_the_function_are_the_innermost(checkpoint):
    outer, inner = Watched(), Watched()

    def hooked(x):
        with inner.hooks():
            return function(x)

    x = leaf()
    with outer.hooks():
        y = checkpoint(hooked, x, context_fn=policy, respect_saved_tensors_hooks=True)
    assert len(outer.packed) == 1
    assert [shape for shape, *_ in inner.packed] == [(4, 4), (2, 4), (2, 4), (2, 4)]
    # for the product, by the policy, for tanh and for sin
    assert torch.equal(grad(y, x), grad(function(x), x))


@both
@pytest.mark.parametrize("outer", [libgrad.checkpoint, TORCHS], ids=["in libgrad", "in torch"])
def test_checkpoints_around_are_passed_over(checkpoint, outer):
    def inner(x):
        return checkpoint(function, x, context_fn=policy, respect_saved_tensors_hooks=True)

    x, watched = leaf(), Watched()
    with watched.hooks():
        y = outer(lambda t: outer(inner, t * 1), x)
    # An older torch's checkpoint saves a tensor without elements, too.
    shapes = [shape for shape, *_ in watched.packed if shape.numel()]
    assert shapes == [(2, 4), (2, 4)]  # the input of the outermost, and the product
    assert torch.equal(grad(y, x), grad(function(x), x))


@both
def test_composed_hooks_of_ours_pack_once(checkpoint):
    """They find the hooks around them, though a checkpoint stands further in."""
    outer, inner = Watched(), []

    def keep(tensor):
        inner.append(tensor.dtype)
        return tensor.half()

    x = leaf()
    with (
        outer.hooks(),
        libgrad.saved_tensors_hooks(keep, lambda t: t.float(), compose=True),
    ):
        y = checkpoint(function, x, context_fn=policy, respect_saved_tensors_hooks=True)
    assert inner == [torch.float32] * 2
    assert [dtype for _, dtype, _ in outer.packed] == [torch.float16] * 2
    product = (x @ W).half().float().detach().requires_grad_()
    assert torch.equal(grad(y, x), grad(product.tanh().sin(), product) @ W.T)


@both
def test_what_hooks_made_must_not_be_changed(checkpoint):
    made = []

    def pack(tensor):
        made.append(tensor.detach().clone())
        return made[-1]

    x = leaf()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = checkpoint(function, x, context_fn=policy, respect_saved_tensors_hooks=True)
    made[1].add_(1)
    with pytest.raises(RuntimeError, match="selective activation checkpoint has been mutated"):
        grad(y, x)


@both
def test_the_hooks_go_with_the_graph(checkpoint):
    x, watched = leaf(), Watched()
    with watched.hooks():
        y = checkpoint(function, x, context_fn=policy, respect_saved_tensors_hooks=True)
    gone = weakref.ref(watched)
    del watched
    gc.collect()
    assert gone() is not None
    del y
    gc.collect()
    assert gone() is None


@both
def test_the_reentrant_one_refuses_it(checkpoint):
    for respect in (True, False):
        with pytest.raises(ValueError, match=r"only supported (when|with) use_reentrant=False"):
            checkpoint(function, leaf(), use_reentrant=True, respect_saved_tensors_hooks=respect)


def test_another_type_is_named():
    with pytest.raises(TypeError, match="respect_saved_tensors_hooks must be True, False or None"):
        libgrad.checkpoint(function, leaf(), respect_saved_tensors_hooks="yes")


@both
def test_results_of_all_kinds_are_packed_one_by_one(checkpoint):
    saved = [torch.ops.aten.max.dim, torch.ops.aten.split.Tensor]
    contexts = functools.partial(theirs.create_selective_checkpoint_contexts, saved)
    seen = []

    def pack(tensor):
        seen.append((tuple(tensor.shape), tensor.dtype))
        return tensor.double(), tensor.dtype

    def largest(x):
        first, second = (x * x).split(1)
        return (first * second).max(1).values.exp()

    x = leaf()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value[0].to(value[1])):
        y = checkpoint(largest, x, context_fn=contexts, respect_saved_tensors_hooks=True)
    halves = [((1, 4), torch.float32)] * 2
    assert seen == [((2, 4), torch.float32), *halves, ((1,), torch.float32), ((1,), torch.int64)]
    assert torch.equal(grad(y, x), grad(largest(x), x))


def test_one_pair_of_contexts_may_serve_again():
    contexts = policy()
    x, watched = leaf(), Watched()
    for respect, packed in ((True, 2), (False, 3), (True, 5)):
        forward, again = contexts
        if hasattr(forward, "func_counter"):  # not in an older torch
            forward.func_counter.clear()
        with watched.hooks():
            y = libgrad.checkpoint(
                function,
                x,
                context_fn=lambda: (forward, again),
                respect_saved_tensors_hooks=respect,
            )
        assert len(watched.packed) == packed
        assert torch.equal(grad(y, x), grad(function(x), x))


def test_other_contexts_are_left_alone():
    x, watched = leaf(), Watched()
    with watched.hooks():
        y = libgrad.checkpoint(
            function,
            x,
            context_fn=lambda: (contextlib.nullcontext(), contextlib.nullcontext()),
            respect_saved_tensors_hooks=True,
        )
    assert len(watched.packed) == 1
    assert torch.equal(grad(y, x), grad(function(x), x))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@choices
def test_compiled(respect):
    x = leaf()

    def around(t):
        return libgrad.checkpoint(
            function, t * 1, context_fn=policy, respect_saved_tensors_hooks=respect
        )

    try:
        got = grad(torch.compile(around, backend="aot_eager")(x), x)
    finally:
        torch._dynamo.reset()
    assert torch.equal(got, grad(function(x), x))


def named(x):
    return libgrad.name(x @ W, "product").tanh().sin()


@pytest.mark.parametrize("option", ["save", "offload"])
@pytest.mark.parametrize("respect", [None, True, False])
def test_tensors_of_a_name_are_packed_unless_they_are_not_to(option, respect):
    x, watched = leaf(), Watched()
    with warnings.catch_warnings(), watched.hooks():
        warnings.simplefilter("error")
        y = libgrad.checkpoint(
            named, x, respect_saved_tensors_hooks=respect, **{option: ("product",)}
        )
    packed = respect is not False
    assert len(watched.packed) == 1 + packed
    kept = [s for s in libgrad.graph(y).saved if s.field == "checkpoint.save"]
    assert [str(s.dtype) for s in kept] == ["torch.float64" if packed else "torch.float32"]
    assert torch.equal(grad(y, x), grad(function(x), x))
    assert watched.unpacked == 1 + packed


def test_the_stack_of_hooks_is_torchs():
    watched = Watched()
    assert libgrad._C.hooks_on_stack() == []
    with watched.hooks(), libgrad.compress():
        (ours, unpack), pair = libgrad._C.hooks_on_stack()
        assert pair == (watched.pack, watched.unpack)
        assert unpack is libgrad._C.unpack
        assert (ours._checkpoint_internal, ours._user_hooks) == (False, pair)
        top = torch._C._autograd._top_saved_tensors_default_hooks(False)
        assert top[0] is ours
    assert libgrad._C.hooks_on_stack() == []
    assert ours._user_hooks is None

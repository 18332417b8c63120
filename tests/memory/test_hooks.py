"""Hooks on saved tensors, by Python and by C++: beside torch's, inside them, and when they fail."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest
import torch
from graph.models import MODELS, loss_of

import libgrad

OURS = {
    "compress": lambda **options: libgrad.compress(torch.bfloat16, **options),
    "save_on_cpu": lambda **options: libgrad.save_on_cpu(**options),
    "save_on_cpu_pinned": lambda **options: libgrad.save_on_cpu(True, **options),
    "save_on_disk": lambda **options: libgrad.save_on_disk("/tmp", **options),
    "callables": lambda **options: libgrad.saved_tensors_hooks(
        lambda t: t.detach().clone(), lambda t: t, **options
    ),
}
EXACT = [name for name in OURS if name != "compress"]


@pytest.fixture(params=OURS)
def ours(request):
    return OURS[request.param]


def leaf() -> torch.Tensor:
    return torch.linspace(1, 2, 4, requires_grad=True)


def loss(x: torch.Tensor) -> torch.Tensor:
    return (x.exp() * x).tanh().sum()


class Counted:
    """Hooks that leave tensors as they are, and count."""

    def __init__(self):
        self.packed = []
        self.unpacked = 0

    def pack(self, tensor):
        self.packed.append(tensor.dtype)
        return tensor.detach()

    def unpack(self, tensor):
        self.unpacked += 1
        return tensor

    def hooks(self, **options):
        return libgrad.saved_tensors_hooks(self.pack, self.unpack, **options)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("model", MODELS)
def test_gradients_are_those_without_hooks(name, model):
    make, data = MODELS[model]
    torch.manual_seed(0)
    module, x = make(), data()
    params = list(module.parameters())
    torch.manual_seed(1)
    expected = torch.autograd.grad(loss_of(module, x), params, allow_unused=True)
    torch.manual_seed(1)
    with OURS[name]():
        ours = loss_of(module, x)
    grads = torch.autograd.grad(ours, params, allow_unused=True)
    for a, b in zip(grads, expected, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_retain_graph_and_double_backward(ours):
    x = leaf()
    with ours():
        y = loss(x)
    first = torch.autograd.grad(y, x, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(y, x)[0])

    x64 = torch.linspace(1, 2, 4, dtype=torch.float64, requires_grad=True)

    def hooked(x):
        with ours():
            return loss(x)

    if ours is not OURS["compress"]:
        assert torch.autograd.gradgradcheck(hooked, x64)


def test_compress_is_as_exact_as_its_dtype():
    x = leaf()
    with libgrad.compress():
        y = (x.exp() * x).sum()
    exact = torch.autograd.grad((x.exp() * x).sum(), x)
    torch.testing.assert_close(  # two numbers, rounded to eight bits each, were multiplied
        torch.autograd.grad(y, x), exact, rtol=2**-8, atol=0
    )
    with libgrad.compress(torch.float32):
        y = loss(x)
    assert torch.equal(torch.autograd.grad(y, x)[0], torch.autograd.grad(loss(x), x)[0])


@pytest.mark.parametrize("torch_inside", [False, True])
def test_the_innermost_hooks_are_used_whoever_made_them(torch_inside):
    theirs, mine = Counted(), Counted()
    hooks = [
        torch.autograd.graph.saved_tensors_hooks(theirs.pack, theirs.unpack),
        mine.hooks(only=lambda op, t: True),
    ]
    outer, inner = hooks if not torch_inside else reversed(hooks)
    with outer, inner:
        loss(leaf()).backward()
    used, unused = (theirs, mine) if torch_inside else (mine, theirs)
    assert (len(used.packed), used.unpacked) == (4, 4)
    assert (len(unused.packed), unused.unpacked) == (0, 0)


def test_outer_hooks_of_python_see_what_composed_ones_of_cpp_make():
    outer = Counted()
    with (
        torch.autograd.graph.saved_tensors_hooks(outer.pack, outer.unpack),
        libgrad.compress(torch.float16, compose=True),
    ):
        loss(leaf()).backward()
    assert outer.packed == [torch.float16] * 4
    assert outer.unpacked == 4


def test_outer_hooks_of_cpp_see_what_composed_ones_of_python_make():
    x = leaf()
    inner = Counted()
    with libgrad.compress(torch.bfloat16), inner.hooks(compose=True):
        y = loss(x)
    got = torch.autograd.grad(y, x)[0]
    with libgrad.compress(torch.bfloat16):
        y = loss(x)
    assert torch.equal(got, torch.autograd.grad(y, x)[0])
    assert inner.packed == [torch.float32] * 4


def test_only_is_told_operators_and_tensors():
    told = []
    counted = Counted()

    def only(op, tensor):
        told.append((op, tuple(tensor.shape)))
        return op == "aten::tanh"

    with counted.hooks(only=only):
        loss(leaf()).backward()
    mul = "aten::mul.Tensor"
    assert [op for op, _ in told] == ["aten::exp", mul, mul, "aten::tanh"]
    assert {shape for _, shape in told} == {(4,)}
    assert (len(counted.packed), counted.unpacked) == (1, 1)


def test_only_leaves_others_to_the_hooks_around():
    outer, inner = Counted(), Counted()
    with outer.hooks(), inner.hooks(only=lambda op, tensor: op == "aten::exp"):
        loss(leaf()).backward()
    assert (len(inner.packed), len(outer.packed), outer.unpacked) == (1, 3, 3)


def test_one_object_may_be_entered_inside_itself_and_by_threads():
    counted = Counted()
    hooks = counted.hooks(only=lambda op, tensor: op == "aten::tanh")

    def run():
        with hooks, hooks:
            loss(leaf()).backward()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted.packed) == 4
    loss(leaf()).backward()
    assert len(counted.packed) == 4


def test_functions_are_packed(ours):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            return 3 * ctx.saved_tensors[0] ** 2 * g

    x = torch.tensor([1.0, 2.0], requires_grad=True)  # exact in bfloat16
    with ours():
        y = Cube.apply(x).sum()
    assert torch.autograd.grad(y, x)[0].tolist() == [3.0, 12.0]


@pytest.mark.filterwarnings("ignore")
def test_compiled_functions_are_packed():
    x = leaf()
    compiled = torch.compile(loss, backend="aot_eager")
    expected = torch.autograd.grad(compiled(x), x)[0]
    with libgrad.save_on_disk("/tmp"):
        y = compiled(x)
    assert torch.equal(torch.autograd.grad(y, x)[0], expected)
    torch._dynamo.reset()
    with libgrad.save_on_disk("/tmp"):  # compiled inside
        y = torch.compile(loss, backend="aot_eager")(x)
    assert torch.equal(torch.autograd.grad(y, x)[0], expected)
    torch._dynamo.reset()


def test_a_checkpoint_inside_is_its_own():
    x = leaf()
    expected = torch.autograd.grad(loss(x), x)[0]
    with libgrad.save_on_disk("/tmp"):
        y = torch.utils.checkpoint.checkpoint(loss, x, use_reentrant=False)
    assert torch.equal(torch.autograd.grad(y, x)[0], expected)


def test_nothing_is_kept(ours):
    x = leaf()
    with ours():
        y = x.exp()
    ref = weakref.ref(y)
    z = y.sum()
    gc.disable()
    try:
        del y, z
        assert ref() is None
    finally:
        gc.enable()


def test_the_hooks_go_with_the_graph():
    counted = Counted()
    ref = weakref.ref(counted)
    with counted.hooks(compose=True):
        y = loss(leaf())
    del counted
    gc.collect()
    assert ref() is not None
    del y
    gc.collect()
    assert ref() is None


def test_the_file_has_no_name(tmp_path):
    x = leaf()
    with libgrad.save_on_disk(tmp_path):
        y = loss(x)
    assert list(tmp_path.iterdir()) == []
    y.backward()
    assert x.grad is not None


def test_places_in_the_file_are_used_again(tmp_path):
    def size():
        files = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        names = [name for name in files if os.path.exists(name) or os.path.islink(name)]
        return sum(os.stat(n).st_size for n in names if str(tmp_path) in os.readlink(n))

    x = torch.ones(1000, requires_grad=True)
    with libgrad.save_on_disk(tmp_path):
        kept = x.exp()
        assert size() == 4000
        for _ in range(10):
            x.exp()
        assert size() == 4000
        second = x.exp()
        del kept
        assert size() == 8000
        third = x.exp()  # where the first was
        assert size() == 8000
    assert torch.equal(torch.autograd.grad(third.sum(), x)[0], x.exp())
    del second
    gc.collect()
    assert size() <= 4000


@pytest.mark.parametrize("pin_memory", [False, True])
def test_save_on_cpu_frees_the_device(device, pin_memory):
    if device != "cuda":
        pytest.skip("the tensors of the CPU stay there")
    x = torch.randn(1000, 1000, device=device, requires_grad=True)
    expected = torch.autograd.grad(loss(x), x)[0]
    before = torch.cuda.memory_allocated()
    with libgrad.save_on_cpu(pin_memory):
        y = loss(x)
    assert torch.cuda.memory_allocated() - before < 1_000_000
    assert torch.equal(torch.autograd.grad(y, x)[0], expected)

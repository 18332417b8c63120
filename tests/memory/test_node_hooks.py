"""node_creation_hook and queue_callback do what torch's do, on every torch."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from function_class.function_classes import function
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks

import libgrad
from libgrad import node_creation_hook, queue_callback

THEIRS = getattr(torch.autograd.graph, "node_creation_hook", None)
needs_torchs = pytest.mark.skipif(THEIRS is None, reason="this torch has no node_creation_hook")


def leaf(*shape: int) -> Tensor:
    return torch.ones(shape, requires_grad=True)


def names_in(run, hook=node_creation_hook) -> list[str]:
    names = []
    with hook(lambda node: names.append(node.name().rpartition(":")[2])):
        run()
    return names


def test_the_hook_sees_a_complete_node_of_its_kind() -> None:
    x, w = leaf(2), leaf(2)
    seen = []

    def hook(node: torch.autograd.graph.Node) -> None:
        seen.append((node, node.name()))
        if node.name() == "MulBackward0":
            assert [
                edge[0].variable is each
                for edge, each in zip(node.next_functions, (x, w), strict=True)
            ] == [True, True]
            assert node._saved_self is x
            assert list(node._input_metadata[0].shape) == [2]

    with node_creation_hook(hook):
        y = x * w
    names = [name.rpartition(":")[2] for _, name in seen]
    assert names == ["AccumulateGrad", "AccumulateGrad", "MulBackward0"]
    assert seen[2][0] is y.grad_fn
    x.exp()
    assert len(seen) == 3


RUNS = {
    "operators": lambda x, w: (x * w).sum().exp(),
    "composite": lambda x, w: nn.functional.linear(x, w, w[0]).reshape(-1),
    "again": lambda x, w: ((x * w) + x).sin() + w,
    "views": lambda x, w: (x[0] * w).t().chunk(2),
    "lists": lambda x, w: torch.cat([x, w, x]).split(2),
    "in place": lambda x, w: (x * w).relu_().mul_(2),
    "no graph": lambda x, w: (x.detach() * 2, (x > 0) * 1, torch.zeros(2)),
    "module": lambda x, w: nn.LayerNorm(2)(x) @ w,
    "two backwards": lambda x, w: torch.autograd.grad(
        torch.autograd.grad((x**3).sum(), x, create_graph=True)[0].sum(), x, create_graph=True
    ),
    "checkpoint": lambda x, w: libgrad.checkpoint(lambda t: (t * w).exp(), x).sum().backward(),
    "transform": lambda x, w: torch.func.grad(lambda t: (t.sin() * w).sum())(x),
    "batches": lambda x, w: torch.func.vmap(lambda t: (t * w).sum())(x),
}


@needs_torchs
@pytest.mark.parametrize("name", RUNS)
def test_the_nodes_are_those_of_torchs_hook(name: str) -> None:
    run = RUNS[name]
    ours = names_in(lambda: run(leaf(2, 2), leaf(2, 2)))
    theirs = names_in(lambda: run(leaf(2, 2), leaf(2, 2)), THEIRS)
    assert ours == theirs


COUNTS = {  # nodes that are not AccumulateGrad, which torch's versions make alike
    "operators": ["MulBackward0", "SumBackward0", "ExpBackward0"],
    "again": ["MulBackward0", "AddBackward0", "SinBackward0", "AddBackward0"],
    "lists": ["CatBackward0", "SplitBackward0"],
    "in place": ["MulBackward0", "ReluBackward0", "MulBackward0"],
    "no graph": [],
    "checkpoint": ["MulBackward0", "ExpBackward0", "SumBackward0", "MulBackward0"],  # stops early
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_nodes_are_passed_once_in_their_order(name: str) -> None:
    names = names_in(lambda: RUNS[name](leaf(2, 2), leaf(2, 2)))
    if name not in ("no graph", "checkpoint"):
        assert names.count("AccumulateGrad") == 2
    others = [each.replace("Backward1", "Backward0") for each in names if "Accumulate" not in each]
    assert others == COUNTS[name]


@pytest.mark.parametrize("base", [libgrad.Function, torch.autograd.Function])
def test_nodes_of_functions_are_passed_once_with_what_they_saved(base: type) -> None:
    saved = []
    f = function(
        lambda ctx, x: (ctx.save_for_backward(x), x * 2)[1], lambda ctx, g: g * 2, base=base
    )
    x = leaf(2) * 1

    def hook(node: torch.autograd.graph.Node) -> None:
        if node.name() == "FBackward":
            saved.append(node.saved_tensors[0])

    with node_creation_hook(hook):
        y = f.apply(x)
        y.sum()
    assert len(saved) == 1
    assert saved[0] is x


def test_a_function_of_cpp_is_passed_once() -> None:
    x = leaf(2) * 1
    swish = libgrad._C._demo.swish
    names = names_in(lambda: swish(x).sum())
    assert [name for name in names if name.startswith("Swish")] == ["SwishBackward"]
    assert names[-1] == "SumBackward0"


def test_of_nested_hooks_the_outermost_is_first() -> None:
    x = leaf(2) * 1
    said: list[str] = []
    hooks = [node_creation_hook, THEIRS or node_creation_hook] * 2
    with hooks[0](lambda _: said.append("1")), hooks[1](lambda _: said.append("2")):
        x.exp()
        with hooks[2](lambda _: said.append("3")), hooks[3](lambda _: said.append("4")):
            x.exp()
        x.exp()
    x.exp()
    assert "".join(said) == "12" + "1234" + "12"


@pytest.mark.parametrize("is_left_first", ["outer", "inner", "middle"])
def test_hooks_may_be_left_in_any_order(is_left_first: str) -> None:
    said: list[str] = []
    x = leaf(2) * 1

    def generator(name: str):
        with node_creation_hook(lambda _: said.append(name)):
            yield

    names = ["outer", "middle", "inner"]
    generators = {name: generator(name) for name in names}
    for each in generators.values():
        next(each)
    left = [is_left_first, *(name for name in names if name != is_left_first)]
    for i, name in enumerate(left):
        x.exp()
        assert said == [each for each in names if each not in left[:i]]
        said.clear()
        generators.pop(name).close()
    x.exp()
    assert said == []
    assert names_in(lambda: x.exp()) == ["ExpBackward0"]


@needs_torchs
def test_a_hook_of_torch_further_in_stays_when_ours_is_left() -> None:
    x, said = leaf(2) * 1, []
    ours = node_creation_hook(lambda _: said.append("ours"))
    ours.__enter__()
    with THEIRS(lambda _: said.append("theirs")):
        ours.__exit__()
        x.exp()
    x.exp()
    assert said == ["theirs"]


def test_a_hook_may_leave_itself() -> None:
    x, said = leaf(2) * 1, []

    def hook(node: torch.autograd.graph.Node) -> None:
        said.append(node.name())
        itself.__exit__()

    itself = node_creation_hook(hook)
    itself.__enter__()
    for _ in range(2):
        x.exp()
    assert said == ["ExpBackward0"]


def test_operators_that_return_nothing_are_heard() -> None:
    names = names_in(lambda: torch._foreach_mul_([leaf(2) * 1, leaf(2) * 1], 3))
    assert [name[:4] for name in names if name != "AccumulateGrad"] == ["MulB"] * 4


def test_higher_order_operators_run() -> None:
    x = leaf(2)
    try:
        with node_creation_hook(lambda node: None):
            y = torch.cond(torch.tensor(True), lambda t: t.sin(), lambda t: t.cos(), (x,))
        assert torch.equal(torch.autograd.grad(y.sum(), x)[0], x.cos())
    finally:
        torch._dynamo.reset()


def with_tangent(x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.make_dual(x, torch.ones(2)).sin()


def grad_of_sin(x: Tensor) -> Tensor:
    return torch.func.grad(lambda t: t.sin().sum())(x)


TRANSFORMS = {  # what runs, and how many of its nodes are of sin
    "grad": (grad_of_sin, 2),
    "grad of grad": (torch.func.grad(lambda t: grad_of_sin(t).sum()), 5),
    "jvp": (lambda x: torch.func.jvp(torch.sin, (x,), (torch.ones(2),)), 1),
    "vjp": (lambda x: torch.func.vjp(torch.sin, x)[1](torch.ones(2)), 2),
    "vmap": (torch.func.vmap(torch.sin), 1),
    "vmap of grad": (torch.func.vmap(torch.func.grad(torch.sin)), 2),
    "grad of vmap": (torch.func.grad(lambda t: torch.func.vmap(torch.sin)(t).sum()), 2),
    "functionalize": (torch.func.functionalize(lambda t: t.sin().add_(1)), 1),
    "forward mode": (with_tangent, 1),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_all_levels_of_a_transform_are_heard(name: str) -> None:
    run, count = TRANSFORMS[name]
    names = names_in(lambda: run(leaf(2)))
    assert names.count("SinBackward0") == count
    if "jvp" in name or "forward" in name:
        assert "CosBackward0" in names  # of the tangent
    if THEIRS is not None:
        assert names == names_in(lambda: run(leaf(2)), THEIRS)


@needs_torchs
def test_torchs_hook_goes_on_when_hooks_on_saved_tensors_are_ours() -> None:
    with libgrad.compress(torch.float16):
        assert names_in(lambda: leaf(2).exp(), THEIRS) == ["AccumulateGrad", "ExpBackward0"]


def test_what_a_hook_raises_is_raised_by_the_operator() -> None:
    x = leaf(2) * 1

    class Mine(Exception):
        pass

    def hook(node: torch.autograd.graph.Node) -> None:
        raise Mine(node.name())

    with node_creation_hook(hook):
        for _ in range(2):
            with pytest.raises(Mine, match="ExpBackward0") as raised:
                x.exp()
            assert raised.traceback[-1].name == "hook"
    with (
        node_creation_hook(lambda node: x.sin()),
        pytest.raises(RuntimeError, match="Creating a new autograd node from inside"),
    ):
        x.exp()
    assert names_in(lambda: x.exp()) == ["ExpBackward0"]
    with node_creation_hook(lambda node: x.detach().sin()):
        x.exp()  # no node, no error


def test_a_backward_that_records_is_heard_and_another_thread_is_not() -> None:
    x = leaf(2)
    y = x.sin().sum()
    names = names_in(lambda: libgrad.grad(y, x, create_graph=True))
    assert names.count("CosBackward0") == 1
    thread = threading.Thread(target=lambda: leaf(2).exp())

    def run() -> None:
        thread.start()
        thread.join()

    assert names_in(run) == []


def test_the_hook_is_gone_after_with_and_an_object_serves_again() -> None:
    names: list[str] = []
    hook = node_creation_hook(lambda node: names.append(node.name()))
    x = leaf(2) * 1
    for _ in range(2):
        with hook, hook:
            x.exp()
    x.exp()
    assert names == ["ExpBackward0"] * 4
    kept = weakref.ref(hook.hook)
    del hook
    gc.collect()
    assert kept() is None


def test_bad_arguments_and_the_wrong_thread_are_refused() -> None:
    with pytest.raises(TypeError, match="node_creation_hook: hook must be callable, but is int"):
        node_creation_hook(3)
    with pytest.raises(TypeError, match="queue_callback: callback must be callable, but is str"):
        queue_callback("f")
    hook = node_creation_hook(print)
    errors = []

    def leave() -> None:
        try:
            hook.__exit__(None, None, None)
        except RuntimeError as error:
            errors.append(str(error))

    with hook:
        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    assert errors == ["node_creation_hook: left by a thread that did not enter it"]


def test_a_hook_that_was_never_left_does_no_harm() -> None:
    def enter() -> None:
        node_creation_hook(lambda node: None).__enter__()
        leaf(2).exp()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    gc.collect()
    assert names_in(lambda: leaf(2).exp())[-1] == "ExpBackward0"


def test_the_doctor_and_record_work_beside_node_hooks() -> None:
    x = leaf(2)
    names: list[str] = []
    with node_creation_hook(lambda node: names.append(node.name())), libgrad.record():
        with libgrad.doctor(), pytest.raises(RuntimeError, match="inplace operation"):
            y = x * 1
            z = y.exp()
            z.add_(1)
            libgrad.backward(z.sum())
        kept = x.sin()
    assert [name for name in names if "Exp" in name or "Sin" in name] == [
        "ExpBackward0",
        "SinBackward0",
    ]
    assert libgrad.graph(kept).nodes[0].op == "aten::sin"


def test_saved_tensor_hooks_hold_beside_node_hooks() -> None:
    packed = []
    with saved_tensors_hooks(lambda t: (packed.append(t), t)[1], lambda t: t):
        names = names_in(lambda: leaf(2).exp())
    assert names[-1] == "ExpBackward0"
    assert len(packed) == 1


def test_callbacks_run_after_backward_in_their_order() -> None:
    x = leaf(2)
    said: list[str] = []

    def hook(grad: Tensor) -> None:
        said.append("hook")
        queue_callback(lambda: said.append(f"first {x.grad.tolist()}"))
        queue_callback(lambda: said.append("second"))

    x.register_hook(hook)
    for run in (libgrad.backward, torch.autograd.backward):
        said.clear()
        x.grad = None
        run((x * 2).sum())
        assert said == ["hook", "first [2.0, 2.0]", "second"]


def test_callbacks_do_not_run_when_backward_fails_and_their_errors_are_raised() -> None:
    said: list[str] = []
    x = leaf(2)

    def fails(grad: Tensor) -> None:
        queue_callback(lambda: said.append("never"))
        raise ValueError("mine")

    handle = x.register_hook(fails)
    with pytest.raises(ValueError, match="mine"):
        libgrad.backward((x * 2).sum())
    handle.remove()
    assert said == []

    def error() -> None:
        raise KeyError("late")

    x.register_hook(lambda grad: queue_callback(error))
    with pytest.raises(KeyError, match="late"):
        libgrad.backward((x * 2).sum())


def test_callbacks_need_a_backward() -> None:
    with pytest.raises(
        RuntimeError, match="Final callbacks can only be installed during backward pass"
    ):
        queue_callback(lambda: None)

"""`Graph.plan`: the memory that backward will take, against what it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from graph.models import MODELS, demo, loss_of
from torch import Tensor, nn

import libgrad

SEED = 4  # bytes of the ones that backward starts with, gone only when it returns


def nodes_of(loss: Tensor) -> list[torch.autograd.graph.Node]:
    nodes = {loss.grad_fn: None}
    waiting = [loss.grad_fn]
    for node in waiting:
        new = {next: None for next, _ in node.next_functions if next and next not in nodes}
        nodes |= new
        waiting += new
    return waiting


def planned_and_real(
    make: Callable[[], Tensor],
) -> tuple[libgrad._C.GraphPlan, list[int], int]:
    """The plan; the bytes that there are more after each node; the most that there are."""
    plans, real = [], []

    def made():
        loss = make()
        plans.append(libgrad.graph(loss).plan())
        return loss

    def run(loss, now):
        for node in nodes_of(loss):
            node.register_prehook(lambda *_: real.append(now()))
        loss.backward()
        real.append(now() + loss.element_size())  # the seed is gone

    peak = demo.added_bytes(made, run)
    return plans[0], real[1:], peak


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"checkpoints"}))
def test_what_is_there_after_each_node_is_what_the_allocator_says(name):
    make, data = MODELS[name]
    model, x = make(), data()
    for _ in "without .grad", "with .grad":
        plan, real, _ = planned_and_real(lambda: loss_of(model, x))
        assert [step.held + step.gradients - plan.start_nbytes for step in plan] == real


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *[("mlp", 1.0), ("encoder layer", 1.0), ("views", 1.0), ("Python Functions", 1.01)],
        *[("convolutions", 1.25), ("in place", 1.25), ("lstm", 1.3)],  # work space
        *[("hooks", 1.4), ("checkpoints", 1.5), ("C++ Functions", 2.5)],  # notes say so
    ],
)
def test_peak_is_a_lower_bound(name, most):
    make, data = MODELS[name]
    model, x = make(), data()
    for _ in "without .grad", "with .grad":
        plan, _, peak = planned_and_real(lambda: loss_of(model, x))
        real = plan.start_nbytes + peak
        assert plan.peak_nbytes <= real <= most * plan.peak_nbytes
        assert bool(plan.notes) == (name in {"hooks", "checkpoints"} or "Functions" in name)


OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs0": torch.abs,
    "Add0": lambda x: x + x.sin(),
    "Add1": lambda x: torch.ops.aten.add.Scalar(x, 1),
    "Addmm0": lambda x: torch.addmm(x[0], x, x),
    "Alias0": torch.ops.aten.alias,
    "Asin0": torch.asin,
    "Atan0": torch.atan,
    "Cat0": lambda x: torch.cat([x.exp(), x.exp()]),
    "Clone0": torch.clone,
    "Cos0": torch.cos,
    "Cosh0": torch.cosh,
    "Div0": lambda x: x / x.exp(),
    "Erf0": torch.erf,
    "Expand0": lambda x: x.expand(3, 32, 32) * 2,
    "Expm10": torch.expm1,
    "Gelu0": nn.functional.gelu,
    "Log1P0": torch.log1p,
    "Mm0": lambda x: x @ x,
    "Mul0": lambda x: x * x.exp(),
    "Permute0": lambda x: x.permute(1, 0),
    "Pow0": lambda x: x**3,
    "Reciprocal0": torch.reciprocal,
    "Rsqrt0": torch.rsqrt,
    "Sin0": torch.sin,
    "Sinh0": torch.sinh,
    "Sqrt0": torch.sqrt,
    "Squeeze0": lambda x: x.view(32, 1, 32).squeeze(),
    "Squeeze1": lambda x: x.view(32, 1, 32).squeeze(1),
    "Squeeze2": lambda x: x.view(32, 1, 32).squeeze((1,)),
    "Stack0": lambda x: torch.stack([x.exp(), x.exp()]),
    "Sub0": lambda x: x - x.exp(),
    "Sub1": lambda x: torch.ops.aten.sub.Scalar(x, 1),
    "Sum0": lambda x: x * x.sum(),
    "Sum1": lambda x: x.sum(1, keepdim=True) - x.exp(),
    "T0": torch.t,
    "Tan0": torch.tan,
    "ToCopy0": lambda x: x.double(),
    "Transpose0": lambda x: x.transpose(0, 1).reshape(64, 16),
    "UnsafeView0": lambda x: torch.ops.aten._unsafe_view(x, [16, 64]),
    "Unsqueeze0": lambda x: x.unsqueeze(0),
    "View0": lambda x: x.view(16, 64),
}


@pytest.mark.parametrize("then", ["sum", "neg and sum"])
@pytest.mark.parametrize("name", OPERATORS)
def test_rule_of_an_operator_is_what_its_backward_does(name, then):
    x = torch.rand(32, 32, requires_grad=True)

    def loss():
        y = OPERATORS[name](x.neg().exp())
        return (y if then == "sum" else y.neg()).sum()

    node = f"{name[:-1]}Backward{name[-1]}"
    assert node in {node.name for node in libgrad.graph(loss()).nodes}
    plan, real, peak = planned_and_real(loss)
    assert [step.held + step.gradients - plan.start_nbytes for step in plan] == real
    assert plan.peak_nbytes - plan.start_nbytes == pytest.approx(peak, abs=256)  # scalars, rows


def test_every_rule_has_its_operator():
    header = Path(libgrad.include_dir(), "libgrad", "questions", "gradient_flow.h").read_text()
    rules = re.findall(r'\.name = "(\w+)Backward(\d)"', header)
    assert {a + b for a, b in rules} == set(OPERATORS)


def test_order_is_that_of_the_nodes():
    g = libgrad.graph(nn.Sequential(nn.Linear(3, 3), nn.Tanh())(torch.ones(2, 3)).sum())
    plan = g.plan()
    assert [g.nodes[step.node].order for step in plan] == list(range(len(g)))
    assert sum(step.freed for step in plan) == plan.start_nbytes == g.exclusive_nbytes


def test_retained_graph_frees_nothing(device):
    x = torch.rand(1000, requires_grad=True, device=device)
    g = libgrad.graph(x.exp().sin().sum())
    plan = g.plan(retain_graph=True)
    assert {(step.freed, step.held) for step in plan} == {(0, 4000)}
    assert plan.peak_nbytes == g.plan().peak_nbytes == 12_004
    assert plan[-1].peak == g.plan()[-1].peak + 4000


def test_what_somebody_else_holds_is_not_freed():
    x = torch.rand(1000, requires_grad=True)
    hidden = x.exp()
    plan = libgrad.graph(hidden.sin().sum()).plan()
    assert (plan.start_nbytes, sum(step.freed for step in plan)) == (0, 0)
    y = hidden.exp()  # saved by its own node, and ours
    assert libgrad.graph(y).exclusive_nbytes == 4000
    assert libgrad.graph(y).plan().start_nbytes == 0


def test_gradient_of_a_leaf_is_there_afterwards():
    x = torch.rand(1000, requires_grad=True)
    assert libgrad.graph((x * 2).sum()).plan()[-1].gradients == 4000 + SEED
    x.grad = torch.zeros(1000)
    assert libgrad.graph((x * 2).sum()).plan()[-1].gradients == SEED


def test_several_roots_and_edges():
    x = torch.rand(100, requires_grad=True)
    a, b = x.exp().sum(), x.sin()
    edge = torch.autograd.graph.get_gradient_edge(b)
    plan = libgrad.graph(a, edge).plan()
    assert len(plan) == 4
    assert plan[-1].gradients == 400 + SEED  # that of b is the caller's


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda x: demo.square(x).sum(), "what SquareBackward needs meanwhile"),
        (lambda x: x.exp().sum(), None),
    ],
)
def test_notes_say_what_is_not_counted(make, note):
    plan = libgrad.graph(make(torch.rand(3, requires_grad=True))).plan()
    assert plan.notes == ([note] if note else [])
    assert (f"not counted: {note}" in str(plan)) == (note is not None)


def test_notes_name_hooks_and_stale_tensors():
    x = torch.rand(3, requires_grad=True)
    y = x.exp()
    y.grad_fn.register_prehook(lambda grads: None)
    loss = y.sin().sum()
    y.detach().zero_()
    assert libgrad.graph(loss).plan().notes == [
        "nothing from ExpBackward0 on: what it saved was changed in place, so backward stops there",
        "nothing from SinBackward0 on: what it saved was changed in place, so backward stops there",
        "what hooks make or keep",
    ]


def test_text_is_a_table():
    x = torch.rand(1000, requires_grad=True)
    text = str(libgrad.graph(x.exp().sin().sum(), params={"x": x}).plan())
    assert (
        text
        == """\
4 nodes: the graph holds 3.9 KiB at the start, and at most 11.7 KiB with the gradients, in step 1
step  node                                  freed     held  gradients  peak
   0  SumBackward0  float32 []                     3.9 KiB        4 B  3.9 KiB
   1  SinBackward0  float32 [1000]                 3.9 KiB    3.9 KiB  11.7 KiB  ◀
   2  ExpBackward0  float32 [1000]        3.9 KiB      0 B    3.9 KiB  11.7 KiB
   3  AccumulateGrad (x)  float32 [1000]               0 B    3.9 KiB  3.9 KiB"""
    )


def test_long_plan_is_short_as_text():
    y = torch.rand(8, requires_grad=True)
    for _ in range(100_000):
        y = y.sin()
    plan = libgrad.graph(y.sum()).plan()
    del y
    lines = str(plan).splitlines()
    assert len(plan) == 100_002
    assert len(lines) < 40
    assert any("(99,9" in line and "steps)" in line for line in lines)


def test_freed_graph_is_refused():
    x = torch.rand(3, requires_grad=True)
    loss = x.exp().sum()
    loss.backward()
    g = libgrad.graph(loss)
    with pytest.raises(RuntimeError, match=r"plan: .* freed what ExpBackward0 .*'result'"):
        g.plan()


def test_wrong_arguments_are_refused():
    g = libgrad.graph(torch.rand(3, requires_grad=True).exp())
    with pytest.raises(TypeError):
        g.plan(True)
    with pytest.raises(TypeError):
        g.plan(retain_graph="no")
    with pytest.raises(IndexError, match="index 2 is out of range for 2 steps"):
        g.plan()[2]
    assert g.plan()[-1].node == 1
    assert [step.node for step in g.plan()[::-1]] == [1, 0]
    assert [step.node for step in g.plan()] == [0, 1]


def test_graph_without_memory_has_a_plan():
    with torch.device("meta"):
        layer = nn.Linear(1000, 1000)
        loss = layer(torch.ones(8, 1000)).sum()
    assert libgrad.graph(loss, params=layer).plan()[-1].gradients == 4 * 1001 * 1000 + SEED

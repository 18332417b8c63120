"""`Graph.unused`: which parameters get no gradient, and why, checked against what backward does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from graph.models import MODELS, demo, loss_of
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchgen.packaged import autograd as derivatives

import libgrad

HEADERS = Path(libgrad.__file__).parent / "include" / "libgrad" / "questions"


def leaf(*sizes):
    return torch.rand(*sizes or (2,)).add(0.1).requires_grad_()


def only(loss, **params):
    """What is said of the only one of `params` that is unused."""
    (param,) = libgrad.graph(loss, params=params).unused(params)
    return param


@pytest.mark.parametrize("name", MODELS)
def test_unused_are_those_without_grad(name):
    make, data = MODELS[name]
    model, x = make(), data()
    loss = loss_of(model, x)
    unused = libgrad.graph(loss, params=model).unused(model)
    loss.backward()
    assert [param.name for param in unused] == [
        name for name, param in model.named_parameters() if param.grad is None
    ]


def test_nothing_is_unused():
    x = leaf()
    unused = libgrad.graph(x.sum()).unused({"x": x})
    assert not unused
    assert len(unused) == 0
    assert list(unused) == []
    assert str(unused) == "all get a gradient: 1 parameter"
    assert str(libgrad.graph(x.sum()).unused({})) == "no parameters were given"


def test_frozen_and_integer():
    x = leaf()
    loss = (x * 2).sum()
    assert only(loss, x=x, frozen=torch.ones(2)).reason == "frozen"
    param = only(loss, x=x, count=torch.ones(2, dtype=torch.int64))
    assert (param.reason, param.text) == ("integer", "int64 has no gradient")
    x.requires_grad_(False)  # after the fact: backward will not fill x.grad
    assert only(loss, x=x).reason == "frozen"
    loss.backward()
    assert x.grad is None


def test_not_a_leaf():
    x = leaf()
    y = x * 2
    loss = y.sum()
    param = only(loss, x=x, y=y)
    assert (param.name, param.reason, param.node) == ("y", "not a leaf", 1)
    assert param.text.startswith("it was computed by MulBackward0 (node 1), and .grad is filled")
    other = only(loss, other=x.exp())
    assert (other.reason, other.node) == ("not a leaf", None)
    assert other.text == "it was computed by ExpBackward0, which is not in the graph"
    y.retain_grad()
    assert not libgrad.graph(loss).unused({"y": y})
    loss.backward()
    assert y.grad is not None


@pytest.mark.parametrize(
    "without", [torch.detach, lambda t: t.data, torch.no_grad()(lambda t: t.view(2))]
)
def test_cut(without):
    x, weight = leaf(), leaf()
    loss = (x * without(weight)).sum()
    g = libgrad.graph(loss)
    (param,) = g.unused({"x": x, "weight": weight})
    assert (param.reason, g.nodes[param.node].name) == ("cut", "MulBackward0")
    assert param.text.endswith("node 1, MulBackward0, saved a tensor there (other)")
    loss.backward()
    assert weight.grad is None


def test_leaf_that_shares_memory():
    weight, x = leaf(), leaf()
    tied = nn.Parameter(torch.empty(2))
    tied.data = weight.data
    flat = leaf(4)
    part = flat.detach()[2:].requires_grad_()
    for loss, name, tensor in (
        ((x + tied).sum(), "tied", weight),  # nothing was saved
        ((x * part).sum(), "part", flat),
    ):
        g = libgrad.graph(loss, params={name: tied if name == "tied" else part})
        (param,) = g.unused({"x": x, "other": tensor})
        assert param.reason == "shares memory"
        assert param.text == (
            f"it shares memory with '{name}' (node {param.node}), which is in the graph and gets "
            "the gradient"
        )
    assert libgrad.graph(part.sum()).unused({"no part": flat[:2].detach().requires_grad_()})[
        0
    ].reason in ("no trace", "elsewhere")


def test_tied_parameters_are_used_under_both_names():
    embedding, head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    head.weight = embedding.weight
    pairs = [("in", embedding.weight), ("out", head.weight)]
    loss = head(embedding(torch.tensor([1, 2]))).sum()
    assert not libgrad.graph(loss).unused(pairs)


ZEROS = {
    "Bernoulli": [lambda x: x.clone().bernoulli_(0.5), lambda p: torch.zeros(2).bernoulli_(p)],
    "Cauchy": [lambda x: x.clone().cauchy_()],
    "Ceil": [torch.ceil],
    "Copysign": [lambda x: torch.copysign(torch.ones(2), x)],
    "Eq": [lambda x: x.clone().eq_(0.5), lambda x: leaf().clone().eq_(x)],
    "Exponential": [lambda x: x.clone().exponential_()],
    "Fill": [lambda x: x.clone().fill_(3), lambda x: x.clone().fill_(leaf(1)[0])],
    "Floor": [torch.floor],
    "Ge": [lambda x: x.clone().ge_(0.5), lambda x: leaf().clone().ge_(x)],
    "Geometric": [lambda x: x.clone().geometric_(0.5)],
    "Gt": [lambda x: x.clone().gt_(0.5), lambda x: leaf().clone().gt_(x)],
    "Le": [lambda x: x.clone().le_(0.5), lambda x: leaf().clone().le_(x)],
    "LogNormal": [lambda x: x.clone().log_normal_()],
    "Lt": [lambda x: x.clone().lt_(0.5), lambda x: leaf().clone().lt_(x)],
    "Ne": [lambda x: x.clone().ne_(0.5), lambda x: leaf().clone().ne_(x)],
    "Normal": [
        lambda x: x.clone().normal_(),
        lambda mean: torch.normal(mean, 1.0),
        lambda std: torch.normal(1.0, std),
        lambda std: torch.normal(leaf(), std),
    ],
    "Poisson": [torch.poisson],
    "Random": [
        lambda x: x.clone().random_(),
        lambda x: x.clone().random_(3),
        lambda x: x.clone().random_(1, 3),
    ],
    "Round": [torch.round, lambda x: torch.round(x, decimals=1)],
    "Sign": [torch.sign],
    "Trunc": [torch.trunc],
    "Uniform": [lambda x: x.clone().uniform_()],
    "Zero": [lambda x: x.clone().zero_()],
    "CopyBackwards": [lambda x: x.clone().copy_(leaf())],
}


@pytest.mark.parametrize(
    ("op", "function"),
    [(op, function) for op, functions in ZEROS.items() for function in functions],
)
def test_overwritten_gets_zeros(op, function):
    x, y = leaf(), leaf()
    loss = (function(x) + y).sum()
    param = only(loss, x=x, y=y)
    assert (param.name, param.reason) == ("x", "overwritten")
    assert f", {op}" in param.text
    loss.backward()
    assert torch.equal(x.grad, torch.zeros(2))
    assert torch.equal(y.grad, torch.ones(2))


def test_every_entry_of_the_table_of_zeros_is_tested():
    text = (HEADERS / "operator_table.h").read_text(encoding="utf-8")
    entries = re.findall(r'ZeroGradients\{"(\w+)", (\d)\}', text)
    assert {op for op, _ in entries} | {"CopyBackwards"} == set(ZEROS)


def test_other_inputs_of_those_that_overwrite_get_a_gradient():
    x, y = leaf(), leaf()
    assert not libgrad.graph(x.clone().copy_(y).sum()).unused({"y": y})
    value = leaf(1)
    assert not libgrad.graph(x.clone().fill_(value[0]).sum()).unused({"value": value})
    assert not libgrad.graph(torch.copysign(x, y).sum()).unused({"x": x})
    part = x.clone()
    part[0].zero_()  # the other one is still there
    assert not libgrad.graph(part.sum()).unused({"x": x})
    z = x.exp()
    assert not libgrad.graph((z.floor() * z).sum()).unused({"x": x})  # another path


def test_names_stay_on_their_line():
    report = str(libgrad.graph(leaf().sum()).unused({"a\n\tb": leaf()}))
    assert len(report.splitlines()) == 2


def test_elsewhere_and_no_trace():
    x, other = leaf(), leaf()
    loss = x.sum()
    assert only(loss, x=x, other=other).reason == "no trace"
    keep = other.exp()
    assert only(loss, x=x, other=other).reason == "elsewhere"
    del keep
    assert only(loss, x=x, other=other).reason == "no trace"
    other.register_hook(lambda grad: None)
    other.register_post_accumulate_grad_hook(lambda param: None)
    assert only(loss, x=x, other=other).reason == "no trace"  # hooks keep no node
    node = torch.autograd.graph.get_gradient_edge(other).node
    assert "or somebody keeps that node" in only(loss, x=x, other=other).text
    del node


class Two(nn.Module):
    """Two parts, and a detach between them; a head that nobody asks."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.aux = nn.Linear(4, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        hidden = self.first(x).relu()
        self.aux(hidden)
        hidden = hidden.detach()
        return self.second(hidden) * 2


def test_report_of_a_detach_in_the_middle_of_a_model():
    model = Two()
    line = f"{__file__}:{model.forward.__code__.co_firstlineno + 4}"
    with libgrad.record():
        loss = model(torch.ones(3, 4)).sum()
    g = libgrad.graph(loss, params=model)
    gone = "it did not run, or what it made is not used here, or it ran under no_grad()"
    assert str(g.unused(model)) == (
        "no gradient comes to 5 of 7 parameters:\n"
        "  scale  [no trace]  nothing in the graph shows a use of it\n"
        f"  first.weight  [module not in graph]  no node of the graph comes from 'first': {gone}\n"
        f"  first.bias  [module not in graph]  no node of the graph comes from 'first': {gone}\n"
        f"  aux.weight  [module not in graph]  no node of the graph comes from 'aux': {gone}\n"
        f"  aux.bias  [module not in graph]  no node of the graph comes from 'aux': {gone}\n"
        "tensors that came in without gradient, as data do and what is detached:\n"
        f"  node 2, AddmmBackward0: mat1, float32 [3, 4]  second, {line}"
    )
    (end,) = g.unused(model).ends
    assert (g.nodes[end.node].module, g.saved[end.saved].field) == ("second", "mat1")
    keep = model.aux(torch.ones(1, 4))
    (param,) = g.unused({"second.weight": model.second.weight, "aux.bias": model.aux.bias})
    assert param.reason == "elsewhere"
    assert param.text.endswith("; no node of the graph comes from 'aux'")
    del keep


def test_modules_are_not_named_where_names_start_elsewhere():
    outer = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    with libgrad.record():
        loss = outer[0][0](torch.ones(1, 2)).sum()
    assert [p.reason for p in libgrad.graph(loss).unused(outer)] == ["no trace"] * 2
    with libgrad.record():
        loss = outer(torch.ones(1, 2)).sum()
    dropped = [*outer[0].named_parameters(), ("2.weight", leaf()), ("3.0.weight", leaf())]
    assert [p.reason for p in libgrad.graph(loss).unused(dropped)] == ["no trace"] * 2
    dropped = [*outer.named_parameters(), ("1.weight", leaf()), ("0.2.weight", leaf())]
    reasons = [p.reason for p in libgrad.graph(loss).unused(dropped)]
    assert reasons == ["no trace", "module not in graph"]  # a "1" did run


def test_ends_are_operands_without_gradient():
    x, weight, data = leaf(3, 4), leaf(4, 4), torch.randn(3, 4)
    mask = data > 0
    labels = torch.zeros(3, dtype=torch.int64)
    hidden = F.linear(x, weight).detach()
    loss = F.cross_entropy((hidden @ weight) * mask * 2 + data.sin() * x, labels)
    g = libgrad.graph(loss)
    ends = {(g.nodes[e.node].name, g.saved[e.saved].field): e.text for e in g.unused([]).ends}
    assert set(ends) == {
        ("MulBackward0", "other"),  # the mask; not the 2
        ("MulBackward0", "self"),
        ("MmBackward0", "self"),
    }
    assert ", bool [3, 4]" in ends["MulBackward0", "other"]
    frozen = nn.Linear(4, 4).requires_grad_(False)
    report = libgrad.graph(frozen(x).sum()).unused(frozen)
    assert "mat2, float32 [4, 4], in the memory of 'weight'" in str(report)


def test_many_ends_are_counted():
    x = leaf()
    for _ in range(25):
        x = x * torch.ones(2)
    unused = libgrad.graph(x).unused({"other": leaf()})
    assert len(unused.ends) == 25
    assert str(unused).endswith("\n  and 15 more")
    assert str(unused).count("MulBackward0") == 10


def differentiable_inputs():
    """The inputs with derivatives of each operator, by its node's name, as torch declares them."""
    text = (Path(derivatives.__file__).parent / "derivatives.yaml").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for block in re.split(r"^- name: ", text, flags=re.MULTILINE)[1:]:
        signature, *lines = block.split("\n")
        keys = {}
        for line in lines:
            if match := re.match(r"  ([\w, ]+): (\S+)", line):
                keys.update(dict.fromkeys(match[1].split(", "), match[2]))
        name, _, arguments = signature.partition("(")
        op = "".join(part.capitalize() for part in name.partition(".")[0].strip("_").split("_"))
        names = re.findall(r"(\w+)(?:=[^,]*)?(?=[,)])", arguments.split("->")[0])
        inputs = [n for n in names if keys.get(n, "non_differentiable") != "non_differentiable"]
        found.setdefault(op, set()).add(" ".join(inputs))
    return found


def test_table_of_inputs_is_torchs():
    text = (HEADERS / "operator_table.h").read_text(encoding="utf-8")
    entries = re.findall(r'OperatorInputs\{\s*"(\w+)",\s*"([\w ]+)"\}', text)
    assert len(entries) > 40
    torchs = differentiable_inputs()
    for op, inputs in entries:
        if op in torchs:  # some came with a later version
            assert inputs in torchs[op], op
            same_size = {i for i in torchs[op] if i.count(" ") == inputs.count(" ")}
            assert same_size == {inputs}, op
    assert sum(op in torchs for op, _ in entries) > 40


class Ours(libgrad.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return grad * weight, grad * x


def test_functions_and_checkpoints():
    x, weight = leaf(), leaf()
    assert only(Ours.apply(x, weight.detach()).sum(), x=x, weight=weight).reason == "cut"
    assert not libgrad.graph(Ours.apply(x, weight).sum()).unused({"x": x, "weight": weight})
    assert only(demo.swish(x.detach() * weight).sum(), x=x, weight=weight).reason == "cut"
    loss = checkpoint(lambda x: (x * weight).sin(), x, use_reentrant=False).sum()
    assert not libgrad.graph(loss).unused({"x": x, "weight": weight})
    f = torch.compile(lambda x, w: (x * w).sum(), backend="aot_eager")
    g = libgrad.graph(f(x, weight))  # one node, with an edge for each of its inputs
    assert g.nodes[0].kind == "compiled"
    assert [p.name for p in g.unused({"x": x, "other": leaf(), "weight": weight})] == ["other"]


def test_modules_dicts_and_pairs_are_params():
    layer, x = nn.Linear(2, 2), leaf(1, 2)
    g = libgrad.graph(x.sum())
    for params in (layer, dict(layer.named_parameters()), layer.named_parameters()):
        unused = g.unused(params)
        assert [param.name for param in unused] == ["weight", "bias"]
        assert unused[-1].name == unused[1:][0].name == "bias"
        assert repr(unused) == "UnusedParams(2 unused, 0 ends)"
        assert repr(unused[0]) == "UnusedParam(weight, no trace)"
        with pytest.raises(IndexError):
            unused[2]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (None, "unused: params must be a module, a dict of tensors, or pairs, but is None"),
        (3, "unused: params must be a module.* but is int"),
        ([torch.ones(1)], "unused: params must hold pairs"),
        ({1: torch.ones(1)}, "unused: the names in params must be str"),
        ({"a": 1}, r"unused: params\['a'\] must be a tensor, but is int"),
    ],
    ids=["none", "int", "no pairs", "no name", "no tensor"],
)
def test_errors_name_the_argument(params, says):
    with pytest.raises(TypeError, match=says):
        libgrad.graph(leaf().sum()).unused(params)

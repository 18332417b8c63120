"""libgrad.types: where the types of results are, and how results are copied and pickled."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import operator
import pickle
import warnings
from typing import Any

import pytest
import torch

import libgrad
from libgrad import _C, types

# Types of the extension that no result holds, or that are torch's own where a user meets them.
INNER = {
    *("Call", "Leftover", "FunctionContext", "Record", "SpyScope", "ContentsScope"),
    *("CurrentOpScope", "DetectAnomaly", "GradMode", "InferenceMode", "FrozenMemory"),
    *("NodeHookScope", "PackHooks", "PackedTensor"),
}


def make() -> dict[str, Any]:
    """Return an instance of each type."""
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    unused = torch.ones(2, requires_grad=True)
    y = x.exp()
    loss = (y * x).sum()
    graph = libgrad.graph(loss, params={"x": x})
    diff = graph.diff(libgrad.graph(x.exp().sum()))
    changed = graph.diff(libgrad.graph((x[:2].exp() * x[:2]).sum()))
    plan = graph.plan()
    unused_params = graph.unused({"unused": unused})
    cut = libgrad.graph((x * x.detach().exp()).sum()).unused({"unused": unused})
    with libgrad.doctor():
        written = x.exp()
        written.add_(1)
        findings = libgrad.diagnose(written.sum())
    costs = libgrad.measure_chain([torch.sin, torch.cos], x)
    report = libgrad.check(torch.sin, torch.ones(2, dtype=torch.double), only="gradcheck")
    alive = libgrad.alive()
    return {
        "AliveGraph": alive[0],
        "AliveGraphs": alive,
        "CallSite": findings[0].saved_by,
        "ChainCosts": costs,
        "ChangedNode": changed.changed[0],
        "Finding": findings[0],
        "FindingWrite": findings[0].writes[0],
        "Findings": findings,
        "Frozen": libgrad.freeze(torch.ones(2)),
        "GradcheckEntry": failed().worst[0],
        "GradcheckError": failed(),
        "GradcheckStep": failed().sweep[0],
        "Graph": graph,
        "GraphDiff": diff,
        "GraphEdge": graph.edges[0],
        "GraphEnd": cut.ends[0],
        "GraphInput": graph.nodes[0].inputs[0],
        "GraphNode": graph.nodes[0],
        "GraphPlan": plan,
        "GraphRoot": graph.roots[0],
        "GraphStorage": graph.storages[0],
        "GraphWhy": graph.why(x),
        "Holder": libgrad.types.Holder("x", "global of __main__"),
        "InputMetadata": libgrad.node(loss).inputs[0],
        "LinearOperator": libgrad.functional.jacobian_operator(torch.sin, x),
        "Node": libgrad.node(loss),
        "PlanStep": plan[0],
        "Report": report,
        "Row": report["gradcheck"],
        "SavedTensor": graph.saved[0],
        "UnusedParam": unused_params[0],
        "UnusedParams": unused_params,
    }


def failed() -> libgrad.GradcheckError:
    """Return what gradcheck raises for a wrong derivative."""

    def double(x):
        y = 2 * x
        y.register_hook(lambda grad: grad / 2)
        return y

    with pytest.raises(libgrad.GradcheckError) as info:
        libgrad.gradcheck(double, torch.ones(3, dtype=torch.double, requires_grad=True))
    return info.value


PICKLED = {
    *("AliveGraph", "AliveGraphs", "ChainCosts", "GradcheckEntry", "GradcheckError"),
    *("GradcheckStep", "Holder", "Report", "Row"),
}
MUTABLE = {"Frozen", "GradcheckEntry", "GradcheckError", "GradcheckStep"}
each_type = pytest.mark.parametrize("name", types.__all__)


@pytest.fixture(scope="module")
def instances() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def same(a: Any, b: Any) -> bool:
    """Compare two results; exceptions and tensors by what is in them."""
    if isinstance(a, BaseException):
        return type(a) is type(b) and a.args == b.args and same(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    return bool(a == b)


def parts() -> list[type]:
    """Return the types inside types: GraphNode.Sequence."""
    found = (getattr(types, name).__dict__.get("Sequence") for name in types.__all__)
    return [inner for inner in found if isinstance(inner, type)]


def test_every_name_is_there_once():
    assert types.__all__ == sorted(set(types.__all__))
    public = {n for n in vars(types) if not n.startswith("_")} - {"annotations"}
    assert public == set(types.__all__)
    assert all(inspect.isclass(getattr(types, name)) for name in types.__all__)


def test_every_type_of_the_extension_is_there():
    bound = {name for name, value in vars(_C).items() if inspect.isclass(value)}
    assert {name for name in bound if not name.startswith("_")} - INNER <= set(types.__all__)


def test_every_public_class_that_results_are_of_is_there():
    classes = {n for n in libgrad.__all__ if inspect.isclass(getattr(libgrad, n))}
    makers = {n for n in classes if n[0].islower()} | {"Function", "SilentWriteWarning"}
    assert classes - makers <= set(types.__all__)


@each_type
def test_a_type_says_where_it_is_imported_from(name):
    cls = getattr(types, name)
    assert cls.__qualname__ == cls.__name__ == name
    assert getattr(importlib.import_module(cls.__module__), name) is cls
    expected = "libgrad" if name in libgrad.__all__ else "libgrad.types"
    assert cls.__module__ == ("libgrad.functional" if name == "LinearOperator" else expected)
    assert pickle.loads(pickle.dumps(cls)) is cls


@pytest.mark.parametrize("cls", parts(), ids=lambda cls: cls.__qualname__)
def test_a_type_inside_another_says_so(cls):
    assert cls.__module__ == "libgrad.types"
    assert operator.attrgetter(cls.__qualname__)(types) is cls
    assert pickle.loads(pickle.dumps(cls)) is cls


@each_type
def test_a_type_says_in_a_sentence_what_it_is(name):
    doc = inspect.getdoc(getattr(types, name))
    assert doc.split("\n\n")[0].endswith(".")


@each_type
def test_a_result_is_of_its_type(name, instances):
    assert type(instances[name]) is getattr(types, name)


def test_every_type_has_an_instance_here(instances):
    assert set(instances) == set(types.__all__)


@each_type
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_is_equal_and_of_what_never_changes_itself(name, how, instances):
    value = instances[name]
    if name == "Frozen":
        with pytest.raises(TypeError, match=r"Frozen: .*; keep the tensor"):
            how(value)
        return
    copied = how(value)
    assert type(copied) is type(value)
    assert copied is value if name not in MUTABLE else same(copied, value)


@each_type
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_the_same_or_is_refused_in_a_sentence(name, protocol, instances):
    value = instances[name]
    if name in PICKLED:
        again = pickle.loads(pickle.dumps(value, protocol))
        assert type(again) is type(value)
        assert same(again, value)
        return
    what = "Finding" if name == "Findings" else name  # those in it
    with pytest.raises(TypeError, match=rf"^{what}: .* cannot be pickled; .*\w"):
        pickle.dumps(value, protocol)


def test_entries_of_a_graph_are_copied_and_pickled_as_the_graph(instances):
    graph = instances["Graph"]
    for entries in (graph.nodes, graph.edges, graph.saved, graph.storages, graph.roots):
        assert copy.deepcopy(entries) is entries
        with pytest.raises(TypeError, match=r"\.Sequence: a part of a snapshot .* to_json\(\)"):
            pickle.dumps(entries)


def test_a_report_with_an_error_survives_a_pickle():
    def fails(x):
        raise ValueError("no")

    report = libgrad.check(fails, torch.ones(2), only="forward")
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert [str(row.error) for row in again] == [str(row.error) for row in report]


def test_a_frozen_dataclass_is_still_its_own_kind(instances):
    assert dataclasses.replace(instances["Row"], name="other").name == "other"
    assert dataclasses.replace(instances["Holder"], path="y").path == "y"

"""The node of a libgrad.Function, seen from Python: what torch shows for its own."""

from __future__ import annotations

import pytest
import torch
from function_class.function_classes import define, function, ours, theirs
from support.parity import assert_same
from torch.autograd.graph import GradientEdge, get_gradient_edge

import libgrad

X = torch.ones(2, requires_grad=True)


def test_grad_fn_is_ctx_and_is_named_after_the_class() -> None:
    seen = []
    f = function(lambda ctx, x: (seen.append(ctx), x * 1)[1])
    y = f.apply(X)
    assert y.grad_fn is seen[0]
    node = ours.Cube.apply(X).grad_fn
    for n in (node, theirs.Cube.apply(X).grad_fn):
        assert type(n).__name__ == n.name() == "CubeBackward"
        assert isinstance(n, torch.autograd.graph.Node)
        assert isinstance(n, torch.autograd.function.FunctionCtx)
    assert repr(ours.Cube.apply(X)) == repr(theirs.Cube.apply(X))
    assert type(node) is type(ours.Cube.apply(X).grad_fn)
    assert type(node) is not type(define(libgrad.Function).Cube.apply(X).grad_fn)


def test_grad_fn_is_a_real_cpp_node() -> None:
    assert libgrad.node(ours.Cube.apply(X)).name == "CubeBackward"
    assert ours.Cube.apply(X).grad_fn._raw_saved_tensors  # of the C++ context


def test_what_ctx_and_node_show_is_what_torchs_show() -> None:
    of_newest = {"input_grad_buffers", "output_grad_dtypes", "set_output_grad_dtype"}

    def shown(f):
        node = f.Cube.apply(X, 3).grad_fn
        node.more = [1]
        node.metadata["key"] = "value"
        return (
            node.k,
            node.more,
            node.saved_tensors,
            node.needs_input_grad,
            node.next_functions[0][0] is (X * 1).grad_fn.next_functions[0][0],
            [(m.shape, m.dtype) for m in node._input_metadata],
            node.metadata,
            node.requires_grad,
            node.to_save,
            node.materialize_grads if hasattr(node, "materialize_grads") else None,
            sorted(set(dir(node)) - {"__weakref__", *of_newest}),
        )

    assert_same(shown(ours), shown(theirs))


def test_torchs_way_to_read_saved_tensors_works_on_raw_ones() -> None:
    y = ours.Cube.apply(X)
    (raw,) = y.grad_fn._raw_saved_tensors
    packed = []
    raw.register_hooks(lambda t: packed.append(t) or 5, lambda five: torch.full((2,), 2.0))
    assert len(packed) == 1
    assert_same(libgrad.grad(y.sum(), X), (torch.full((2,), 12.0),))
    with pytest.raises(RuntimeError, match="second time"):
        _ = y.grad_fn._raw_saved_tensors


def test_hooks_of_node_and_tensor_run_in_torchs_order() -> None:
    def order(f):
        calls = []
        y = f.Cube.apply(X)
        y.grad_fn.register_hook(lambda gx, gy: calls.append(("post", len(gx), len(gy))))
        y.grad_fn.register_prehook(lambda gy: calls.append(("pre", len(gy))))
        y.register_hook(lambda g: calls.append("tensor"))
        y.register_hook(lambda g: g * 2)
        y.retain_grad()
        return libgrad.grad(y.sum(), X), calls

    assert_same(order(ours), order(theirs))


def test_gradient_edges_and_inputs_can_name_it() -> None:
    y = ours.Cube.apply(X * 1)
    edge = get_gradient_edge(y)
    z = (y * y).sum()
    for run in (torch.autograd.grad, libgrad.grad):
        (g,) = run(z, edge, retain_graph=True)
        assert_same(g, 2 * y.detach())
        assert_same(run(edge, X, torch.ones(2), retain_graph=True)[0], torch.full((2,), 3.0))
    del y, z
    assert_same(torch.autograd.grad(edge, X, torch.ones(2))[0], torch.full((2,), 3.0))
    assert isinstance(GradientEdge(edge.node, 0), tuple)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_errors_of_the_engine_speak_of_the_class() -> None:
    f = function(lambda ctx, x: x * 1, lambda ctx, g: g * float("nan"))
    with (
        pytest.warns(UserWarning, match="Error detected in FBackward"),
        pytest.raises(RuntimeError, match="'FBackward' returned nan values"),
        libgrad.detect_anomaly(),
    ):
        libgrad.backward(f.apply(X).sum())
    with pytest.raises(RuntimeError, match="Function FBackward returned an invalid gradient"):
        libgrad.backward(function(lambda ctx, x: x * 1, lambda ctx, g: g[:1]).apply(X).sum())


def test_profilers_see_the_class_in_both_directions() -> None:
    with torch.autograd.profiler.profile(use_kineto=False) as prof:
        libgrad.backward(ours.Cube.apply(X).sum(), inputs=X)
    names = [event.name for event in prof.function_events]
    assert "Cube" in names
    assert "CubeBackward" in names


def test_apply_keeps_a_ctx_class_that_torch_can_call() -> None:
    node = ours.Cube.apply(X).grad_fn
    assert node.apply(torch.ones(2))[0].tolist() == [3.0, 3.0]
    assert type(ours.Cube._backward_cls()).__name__ == "CubeBackward"  # torch's, without a node
    assert ours.Cube._backward_cls().saved_tensors == ()

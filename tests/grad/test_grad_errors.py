"""Bad input: the type of exception that torch raises, and a message that says no less."""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.parity import TORCH_TAKES_DICTS, outcome
from torch.autograd.graph import GradientEdge, get_gradient_edge

import libgrad


class Graph:
    """A scalar `y` and a vector `v` of x and w; `u` is in no graph."""

    def __init__(self) -> None:
        self.x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        self.w = torch.tensor([4.0, 5.0, 6.0], requires_grad=True)
        self.u = torch.ones(2, requires_grad=True)
        self.v = self.x * self.w
        self.y = self.v.sum()


Call = Callable[[Any, Graph], Any]
edge = get_gradient_edge

# id: a call, what the message must name besides what torch's says
GRAD: dict[str, tuple[Call, str]] = {
    "outputs None": (lambda a, g: a.grad(None, g.x), "`outputs`"),
    "outputs int": (lambda a, g: a.grad(3, g.x), "`outputs`"),
    "outputs [int]": (lambda a, g: a.grad([3], g.x), r"outputs\[0\].*int"),
    "outputs [None]": (lambda a, g: a.grad([g.y, None], g.x), r"outputs\[1\].*NoneType"),
    "outputs str": (lambda a, g: a.grad("ab", g.x), r"outputs\[0\].*str"),
    "outputs dict": (lambda a, g: a.grad({"y": g.y}, g.x), r"outputs\[0\].*str"),
    "outputs empty": (lambda a, g: a.grad([], g.x), "index 0"),
    "outputs without graph": (lambda a, g: a.grad(torch.ones(()), g.x), r"outputs\[0\]"),
    "outputs of integers": (lambda a, g: a.grad(torch.tensor(1), g.x), r"outputs\[0\]"),
    "outputs not scalar": (lambda a, g: a.grad([g.y, g.v], g.x), r"outputs\[1\].*\[3\].*sum"),
    "inputs None": (lambda a, g: a.grad(g.y, None), "`inputs`"),
    "inputs int": (lambda a, g: a.grad(g.y, 3), "`inputs`"),
    "inputs [int]": (lambda a, g: a.grad(g.y, [g.x, 3]), r"inputs\[1\].*int"),
    "inputs [None]": (lambda a, g: a.grad(g.y, [None]), r"inputs\[0\].*NoneType"),
    "inputs empty": (lambda a, g: a.grad(g.y, []), "cannot be empty"),
    "inputs empty dict": (lambda a, g: a.grad(g.y, {}), "cannot be empty"),
    "inputs dict of ints": (lambda a, g: a.grad(g.y, {"a": 3}), r"inputs\[0\].*int"),
    "inputs mapping": (
        lambda a, g: a.grad(g.y, types.MappingProxyType({"x": g.x})),
        "must be a dict, not mappingproxy",
    ),
    "inputs OrderedDict": (lambda a, g: a.grad(g.y, OrderedDict(x=g.x)), "OrderedDict"),
    "inputs without grad": (
        lambda a, g: a.grad(g.y, [g.x, torch.ones(3)]),
        r"inputs\[1\] \(float32 \[3\] on cpu\).*requires_grad_",
    ),
    "inputs of integers": (lambda a, g: a.grad(g.y, torch.ones(3).int()), r"inputs\[0\] \(int32"),
    "inputs unused": (
        lambda a, g: a.grad(g.y, [g.x, g.u]),
        r"index 1 .*allow_unused=True.*inputs\[1\] is float32 \[2\] on cpu",
    ),
    "seed shape": (lambda a, g: a.grad(g.v, g.x, torch.ones(2)), r"\[2\].*\[3\]"),
    "seed complex": (
        lambda a, g: a.grad(g.v, g.x, torch.ones(3) * 1j),
        r"grad_output\[0\] has a dtype of torch.complex64 .* torch.float32",
    ),
    "seed device": (
        lambda a, g: a.grad(g.v, g.x, torch.ones(3, device="meta")),
        "expected device cpu but got meta",
    ),
    "seed int": (lambda a, g: a.grad(g.v, g.x, 3), "`grad_outputs`"),
    "seed [int]": (lambda a, g: a.grad(g.v, g.x, [3]), r"grad_outputs\[0\].*int"),
    "seed str": (lambda a, g: a.grad(g.v, g.x, "a"), r"grad_outputs\[0\].*str"),
    "seed empty": (lambda a, g: a.grad([g.y], g.x, []), "1 tensors and 0 gradients"),
    "seed [None]": (lambda a, g: a.grad(g.v, g.x, [None]), "scalar outputs"),
    "materialize, unused not allowed": (
        lambda a, g: a.grad(g.y, g.x, allow_unused=False, materialize_grads=True),
        "allow_unused=False",
    ),
    "materialize an edge": (
        lambda a, g: a.grad(g.y, edge(g.u), materialize_grads=True),
        r"inputs\[0\]",
    ),
    "batched, no seed": (lambda a, g: a.grad(g.y, g.x, is_grads_batched=True), "None"),
    "batched, shape": (
        lambda a, g: a.grad(g.v, g.x, torch.ones(4, 2), is_grads_batched=True),
        r"\[2\].*\[3\]",
    ),
    "batched, scalar seed": (
        lambda a, g: a.grad(g.v, g.x, torch.ones(()), is_grads_batched=True),
        r"grad_outputs\[0\] is a scalar",
    ),
    "batched, sizes differ": (
        lambda a, g: a.grad(
            [g.v, g.v], g.x, [torch.ones(4, 3), torch.ones(2, 3)], is_grads_batched=True
        ),
        r"has 4 and grad_outputs\[1\] has 2",
    ),
    "edge not scalar": (lambda a, g: a.grad(edge(g.v), g.x), r"outputs\[0\]"),
    "edge of None": (lambda a, g: a.grad(GradientEdge(None, 0), g.x), "NoneType"),
    "edge out of range": (
        lambda a, g: a.grad(GradientEdge(g.y.grad_fn, 7), g.x),
        "edge 7 of SumBackward0, which has 1",
    ),
    "retain_graph str": (lambda a, g: a.grad(g.y, g.x, retain_graph="no"), "retain_graph"),
    "create_graph None": (lambda a, g: a.grad(g.y, g.x, create_graph=None), "create_graph"),
    "no arguments": (lambda a, g: a.grad(), "'outputs'"),
    "unknown keyword": (lambda a, g: a.grad(g.y, g.x, foo=1), "'foo'"),
    "argument twice": (lambda a, g: a.grad(g.y, g.x, outputs=g.y), "'outputs'"),
    "too many arguments": (lambda a, g: a.grad(*[g.y] * 10), "10"),
    "graph freed": (lambda a, g: (a.grad(g.y, g.x), a.grad(g.y, g.x)), "retain_graph=True"),
    "inside vmap": (
        lambda a, g: torch.func.vmap(lambda x: a.grad(x.sum(), x))(g.x),
        r"outputs\[0\]",
    ),
}

BACKWARD: dict[str, tuple[Call, str]] = {
    "tensors None": (lambda a, g: a.backward(None), "`tensors`"),
    "tensors int": (lambda a, g: a.backward(3), "`tensors`"),
    "tensors [int]": (lambda a, g: a.backward([3]), r"tensors\[0\].*int"),
    "tensors without graph": (lambda a, g: a.backward([g.y, torch.ones(())]), r"tensors\[1\]"),
    "tensors not scalar": (lambda a, g: a.backward(g.v), r"tensors\[0\].*grad_tensors"),
    "inputs empty": (lambda a, g: a.backward(g.y, inputs=[]), "cannot be empty"),
    "inputs int": (lambda a, g: a.backward(g.y, inputs=3), "`inputs`"),
    "inputs [int]": (lambda a, g: a.backward(g.y, inputs=[3]), r"inputs\[0\].*int"),
    "inputs without grad": (
        lambda a, g: a.backward(g.y, inputs=[g.x, torch.ones(3)]),
        r"inputs\[1\] \(float32 \[3\] on cpu\)",
    ),
    "seed shape": (lambda a, g: a.backward(g.v, torch.ones(2)), r"\[2\].*\[3\]"),
    "seed device": (
        lambda a, g: a.backward(g.v, torch.ones(3, device="meta")),
        "expected device cpu but got meta",
    ),
    "seed [int]": (lambda a, g: a.backward(g.v, [3]), r"grad_tensors\[0\].*int"),
    "seeds too few": (lambda a, g: a.backward(g.v, []), "grad_tensors"),
    "no arguments": (lambda a, g: a.backward(), "'tensors'"),
    "graph freed": (lambda a, g: (a.backward(g.y), a.backward(g.y)), "retain_graph=True"),
    "inside torch.func": (
        lambda a, g: torch.func.grad(lambda x: a.backward(x.sum()))(torch.ones(3)),
        "torch.func.grad",
    ),
}


def words(function: str, table: dict[str, tuple[Call, str]]) -> list[Any]:
    new = pytest.mark.skipif(not TORCH_TAKES_DICTS, reason="this torch does not check that")
    since_213 = {
        "inputs empty",
        "inputs empty dict",
        "inputs mapping",
        "inputs OrderedDict",
    }
    return [
        pytest.param(
            *case,
            id=f"{function}: {name}",
            marks=[new] if name in since_213 and function == "grad" else [],
        )
        for name, case in table.items()
    ]


@pytest.mark.parametrize(("call", "message"), words("grad", GRAD) + words("backward", BACKWARD))
def test_bad_input_raises_as_torch_does_and_says_what_to_do(call: Call, message: str) -> None:
    ours, graph = Graph(), Graph()
    _, expected, _ = outcome(lambda: call(torch.autograd, graph))
    assert expected is not None
    with pytest.raises(expected, match=message) as caught:
        call(libgrad, ours)
    assert caught.type is expected
    assert "INTERNAL ASSERT" not in str(caught.value)
    assert "C++" not in str(caught.value)


REFUSED = [
    pytest.param(call, id=f"{function}: {name}")
    for function, table in (("grad", GRAD), ("backward", BACKWARD))
    for name, (call, _) in table.items()
    if name != "graph freed"  # there the first call is good
]


@pytest.mark.parametrize("call", REFUSED)
def test_bad_input_leaves_nothing_behind(call: Call) -> None:
    g = Graph()
    _, error, _ = outcome(lambda: call(libgrad, g))
    assert error is not None
    assert g.x.grad is None
    assert g.w.grad is None
    assert not g.v.retains_grad
    assert torch.is_grad_enabled()
    again = Graph()
    assert torch.equal(libgrad.grad(again.y, again.x)[0], again.w)  # and the engine works on


def test_more_seeds_than_outputs_are_refused_though_torch_drops_them() -> None:
    g = Graph()
    with pytest.raises(RuntimeError, match="got 1 tensors and 2 gradients; grad_outputs"):
        libgrad.grad(g.v, g.x, [torch.ones(3), torch.ones(3)])


def test_an_input_edge_out_of_range_is_an_error_where_torch_crashes() -> None:
    g = Graph()
    with pytest.raises(IndexError, match=r"inputs\[0\] is edge 7 of SumBackward0"):
        libgrad.grad(g.y, GradientEdge(g.y.grad_fn, 7))


@pytest.mark.parametrize("number", [-1, 2**32, 2**80], ids=str)
def test_edge_numbers_that_no_node_has_are_index_errors(number: int) -> None:
    with pytest.raises(IndexError, match=r"outputs\[0\] is edge \d+ of SumBackward0"):
        libgrad.grad(GradientEdge(Graph().y.grad_fn, number), Graph().x)


@pytest.mark.parametrize("number", [1.0, None, "0"], ids=repr)
def test_edge_numbers_that_are_no_ints_are_type_errors(number: object) -> None:
    with pytest.raises(TypeError, match="output_nr must be an int"):
        libgrad.grad(GradientEdge(Graph().y.grad_fn, number), Graph().x)


def test_errors_beside_edges_name_the_input_too() -> None:
    g = Graph()
    for call in (libgrad.grad, lambda y, xs: libgrad.backward(y, inputs=xs)):
        with pytest.raises(RuntimeError, match=r"inputs\[1\] \(float32 \[3\] on cpu\); call"):
            call(get_gradient_edge(g.y), [g.x, torch.ones(3)])


def test_an_exception_of_a_property_of_the_argument_gets_through() -> None:
    class Broken:
        @property
        def __torch_function__(self) -> object:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        libgrad.grad(Broken(), Graph().x)


def test_failed_backward_does_not_make_other_inputs_retain_their_grad() -> None:
    g = Graph()
    for root in (g.y, get_gradient_edge(g.y)):
        with pytest.raises(RuntimeError, match="does not require grad"):
            libgrad.backward(root, inputs=[g.v, torch.ones(3)])
        assert not g.v.retains_grad
    with pytest.raises(RuntimeError, match="scalar outputs"):
        libgrad.backward(get_gradient_edge(g.v), inputs=[g.v])
    assert not g.v.retains_grad


def test_iterators_that_raise_keep_their_exception() -> None:
    def inputs() -> Any:
        yield Graph().x
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        libgrad.grad(Graph().y, inputs())

"""`print_graph`, compared letter for letter with the files of expected/tensor_text/.

``LIBGRAD_UPDATE_EXPECTED=1`` writes the files instead; read what has changed before it is kept.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support.operators import same_attention
from torch import Tensor, nn

import libgrad

EXPECTED = Path(__file__).parent / "expected" / "tensor_text"
swish = libgrad._C._demo.swish

Case = tuple[Tensor, Mapping[str, Tensor] | None, dict[str, Any]]


def scalars() -> dict[str, Tensor]:
    return {
        "x": torch.tensor(2.0, requires_grad=True),
        "y": torch.tensor(3.0, requires_grad=True),
    }


def by_hand(named: bool = True, **options: Any) -> Case:
    leaves = scalars()
    x, y = leaves.values()
    return (x + y) * (y + 1), leaves if named else None, options


def mlp() -> Case:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return model(torch.ones(3, 4)).mean(), dict(model.named_parameters()), {}


def shared() -> Case:
    leaves = scalars()
    x, y = leaves.values()
    common = (x * y).exp()
    return common.sin() + common * common, leaves, {}


def many_outputs() -> Case:
    x = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    first, second, third = x.unbind(0)
    return (third * first) @ second, {"x": x}, {}


def root_is_second_output() -> Case:
    x = torch.ones(3, 2, requires_grad=True)
    return x.exp().unbind(0)[1], {"x": x}, {}


def functions() -> Case:
    class Halve(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x / 2

        @staticmethod
        def backward(ctx, grad):
            return grad / 2

    x = torch.ones(2, requires_grad=True)
    y = Halve.apply(swish(x)).clone()
    y[0].mul_(3)
    return y.to(torch.bfloat16), {"x": x}, {}


def tied() -> Case:
    w = torch.ones(2, 2, requires_grad=True)
    return torch.ones(2) @ w @ w.T, {"decoder.weight": w, "encoder.weight": w}, {}


def attention() -> Case:
    model = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.ones(1, 3, 4)
    return model(x, x, x)[0].sum(), dict(model.named_parameters()), {}


def deep() -> Case:
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(40):
        y = y.sin() * x
    return y, {"x": x}, {"max_depth": 3}


CASES: dict[str, Callable[[], Case]] = {
    "by_hand": by_hand,
    "unnamed": lambda: by_hand(named=False),
    "max_depth_0": lambda: by_hand(max_depth=0),
    "max_depth_1": lambda: by_hand(max_depth=1),
    "leaf": lambda: (*[torch.ones(2, 3, requires_grad=True)], None, {}),
    "mlp": mlp,
    "shared": shared,
    "many_outputs": many_outputs,
    "root_is_second_output": root_is_second_output,
    "functions": functions,
    "tied": tied,
    "attention": attention,
    "deep": deep,
}


def drawn(*args: Any, **options: Any) -> str:
    file = io.StringIO()
    assert libgrad.print_graph(*args, file=file, **options) is None
    return file.getvalue()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[same_attention] if name == "attention" else []) for name in CASES],
)
def test_drawing_is_the_expected_one(name):
    tensor, params, options = CASES[name]()
    text = drawn(tensor, params, **options)
    path = EXPECTED / f"{name}.txt"
    if os.environ.get("LIBGRAD_UPDATE_EXPECTED") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_expected_file_has_its_case():
    assert sorted(path.stem for path in EXPECTED.glob("*.txt")) == sorted(CASES)


def test_drawing_goes_to_standard_output_by_default(capsys):
    tensor, params, _ = by_hand()
    libgrad.print_graph(tensor, params)
    assert capsys.readouterr().out == (EXPECTED / "by_hand.txt").read_text(encoding="utf-8")


def test_params_may_be_any_mapping_and_hold_names_that_are_not_met():
    from types import MappingProxyType

    tensor, params, _ = by_hand()
    more = MappingProxyType({**params, "other": torch.ones(1), "Ünïcode": torch.ones(1)})
    assert drawn(tensor, more) == drawn(tensor, params) == drawn(tensor, params=params)
    assert drawn(tensor, {}) == drawn(tensor, None) == drawn(tensor)


def test_every_node_is_drawn_once_and_the_rest_is_counted():
    tensor, params, _ = mlp()
    nodes = [tensor.grad_fn]
    for node in nodes:
        nodes += [n for n, _ in node.next_functions if n is not None and n not in nodes]
    assert len(drawn(tensor, params).splitlines()) == len(nodes)
    for depth in range(6):
        *lines, last = drawn(tensor, params, max_depth=depth).splitlines()
        if "more node" in last:
            shown = [line for line in lines if not line.endswith("...")]
            assert int(last.split()[0].strip("(")) == len(nodes) - len(shown)
        else:
            assert len([*lines, last]) == len(nodes)
    assert drawn(tensor, params, max_depth=100) == drawn(tensor, params)


def test_drawing_leaves_the_graph_as_it_was():
    tensor, params, _ = mlp()
    before = drawn(tensor, params)
    tensor.backward()
    assert drawn(tensor, params) == before
    assert all(p.grad is not None for p in params.values())


def test_device_is_written_when_it_is_not_the_cpu(device):
    x = torch.ones(2, device=device, requires_grad=True)
    where = "" if device == "cpu" else f" on {x.device}"
    assert drawn(x * 2, {"x": x}) == (
        f"MulBackward0  float32 [2]{where}\n└── AccumulateGrad  x: float32 [2]{where}\n"
    )


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_shape_that_is_not_known_is_said_to_be():
    x = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], requires_grad=True)
    assert drawn(x * 2).startswith("MulBackward0  (shape unknown)\n")


@pytest.mark.parametrize("wrong", [None, 2.0, "x", [torch.ones(1, requires_grad=True)]])
def test_what_is_no_tensor_is_a_type_error_that_names_its_type(wrong):
    with pytest.raises(TypeError, match=f"^print_graph: .*tensor.*{type(wrong).__name__}"):
        libgrad.print_graph(wrong)


@pytest.mark.parametrize("params", [{"x": 1}, {"x": None}, {"x": "x"}])
def test_parameter_that_is_no_tensor_is_a_type_error_that_names_it(params):
    with pytest.raises(TypeError, match=r"^print_graph: params\['x'\] must be a tensor"):
        libgrad.print_graph(by_hand()[0], params)


@pytest.mark.parametrize("max_depth", [-1, 1.5, None, "3"])
def test_depth_that_is_no_count_is_refused(max_depth):
    error = ValueError if max_depth == -1 else TypeError
    with pytest.raises(error, match="print_graph: max_depth must be an int from 0 up"):
        libgrad.print_graph(by_hand()[0], max_depth=max_depth)


def test_options_are_keywords():
    with pytest.raises(TypeError):
        libgrad.print_graph(by_hand()[0], {}, 3)


def test_tensor_without_a_graph_is_an_error_that_says_what_to_do():
    for tensor in (torch.ones(2), (torch.ones(2, requires_grad=True) * 2).detach()):
        with pytest.raises(RuntimeError, match=r"does not require grad.*requires_grad=True"):
            libgrad.print_graph(tensor)


def test_names_that_are_no_strings_are_refused():
    with pytest.raises(TypeError, match="keys of params must be str, but one is 1"):
        libgrad.print_graph(by_hand()[0], {1: by_hand()[0]})

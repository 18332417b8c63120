"""libgrad.functional against torch.autograd.functional: results, structure, options."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.autograd import functional as theirs
from torch.testing import assert_close

from libgrad import functional as ours

NAMES = ["vjp", "jvp", "vhp", "hvp", "jacobian", "hessian"]
PRODUCTS = NAMES[:4]
W = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)


def pair(x, y):
    return torch.tanh(W.to(x) @ x) * y.sum(), x.sum() * y.sin()


def loss(x, y):
    return (torch.sin(W.to(x) @ x).prod() * y.exp()).sum() * x[0]


def single(x):
    return torch.tanh(W.to(x) @ x) * x.sum()


def alike(mine, torchs) -> None:
    """Assert one structure, and tensors that agree to rounding: the kernels are others."""
    assert type(mine) is type(torchs)
    if isinstance(torchs, tuple):
        assert len(mine) == len(torchs)
        for a, b in zip(mine, torchs, strict=True):
            alike(a, b)
    else:
        assert_close(mine, torchs)
        assert mine.requires_grad == torchs.requires_grad


def point(device="cpu", dtype=torch.float64):
    x, y = torch.randn(3, dtype=dtype), torch.randn(4, dtype=dtype)
    return x.to(device), y.to(device)


@pytest.mark.parametrize("name", NAMES)
def test_signature_begins_as_torchs_and_goes_on_by_name_alone(name):
    mine = list(inspect.signature(getattr(ours, name)).parameters.values())
    torchs = list(inspect.signature(getattr(theirs, name)).parameters.values())
    shared = mine[: len(torchs)]
    assert [(p.name, p.default, p.kind) for p in shared] == [
        (p.name, p.default, p.kind) for p in torchs
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in mine[len(torchs) :])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_result_is_torchs(name, strict, create_graph, device):
    x, y = point(device)
    x.requires_grad_()
    scalar = name in {"vhp", "hvp", "hessian"}
    function = loss if scalar else pair
    options = {"create_graph": create_graph, "strict": strict}
    if name == "vjp":
        options["v"] = tuple(torch.randn_like(out) for out in pair(x, y))
    elif name in PRODUCTS:
        options["v"] = (torch.randn_like(x), torch.randn_like(y))
    mine = getattr(ours, name)(function, (x, y), **options)
    alike(mine, getattr(theirs, name)(function, (x, y), **options))
    assert x.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_one_tensor_gives_one_tensor_and_a_tuple_a_tuple(name):
    x, _ = point()
    function = single if name in {"vjp", "jvp", "jacobian"} else lambda t: single(t).sum()
    options = {}
    if name in PRODUCTS:
        options["v"] = torch.ones(5 if name == "vjp" else 3, dtype=x.dtype)
    for inputs in (x, (x,)):
        mine = getattr(ours, name)(function, inputs, **options)
        alike(mine, getattr(theirs, name)(function, inputs, **options))
    if name in {"vjp", "jvp", "jacobian"}:
        mine = getattr(ours, name)(lambda t: (function(t),), x, **options)
        alike(mine, getattr(theirs, name)(lambda t: (function(t),), x, **options))


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_one_stands_for_the_vector_of_a_single_element(name):
    x = torch.tensor([0.5])
    mine = getattr(ours, name)(torch.sin, x)
    alike(mine, getattr(theirs, name)(torch.sin, x))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vectorize": True},
        {"vectorize": False},
        {"strategy": "reverse-mode"},
        {"strategy": "reverse-mode", "strict": True},
        {"strategy": "double-reverse"},
        {"strategy": "forward-mode"},
        {"strategy": "forward-mode", "vectorize": True, "chunk_size": 2},
        {"chunk_size": 1},
        {"chunk_size": 1000, "check": True},
        {"strategy": "forward-mode", "check": True},
    ],
    ids=str,
)
def test_every_way_to_a_matrix_gives_the_same(options, device):
    x, y = point(device)
    alike(ours.jacobian(pair, (x, y), **options), theirs.jacobian(pair, (x, y)))
    if "strategy" in options:
        options = {**options, "outer_jacobian_strategy": options["strategy"]}
        del options["strategy"]
    alike(ours.hessian(loss, (x, y), **options), theirs.hessian(loss, (x, y)))


@pytest.mark.parametrize("name", ["vjp", "jvp", "jacobian"])
def test_complex_numbers_follow_torch(name):
    z, w = point(dtype=torch.complex128)
    options = {"v": pair(z, w)} if name == "vjp" else {}
    if name == "jvp":
        options["v"] = (w[:3], w)
    mine = getattr(ours, name)(pair, (z, w), **options)
    if name == "jacobian":
        options["vectorize"] = True  # torch's loop takes no complex outputs
    alike(mine, getattr(theirs, name)(pair, (z, w), **options))


def test_mixed_dtypes_of_inputs_and_outputs():
    def mixed(x, y):
        return x.double() * y.sum(), (x * 2, y.to(x.dtype))[1]

    x, y = torch.randn(3), torch.randn(4, dtype=torch.float64)
    alike(ours.jacobian(mixed, (x, y)), theirs.jacobian(mixed, (x, y)))
    v = torch.randn(3, dtype=torch.float64), torch.randn(4)
    alike(ours.vjp(mixed, (x, y), v), theirs.vjp(mixed, (x, y), v))


def test_what_does_not_depend_is_zero():
    def constant(x, y):
        return x * 2, torch.ones(2)

    x, y = torch.randn(3), torch.randn(4)
    alike(ours.jacobian(constant, (x, y)), theirs.jacobian(constant, (x, y)))
    alike(ours.hessian(lambda x, y: x.sum(), (x, y)), theirs.hessian(lambda x, y: x.sum(), (x, y)))


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_empty_tensors(shape):
    x = torch.randn(shape)
    assert ours.jacobian(torch.sin, x).shape == (*shape, *shape)  # torch: RuntimeError
    assert ours.vjp(torch.sin, x, x)[1].shape == shape
    assert ours.hessian(lambda t: t.sum(), x).shape == (*shape, *shape)


def test_nests_go_in_and_come_out():
    params = {"w": torch.randn(2, 3), "b": [torch.randn(2), (torch.randn(()),)]}
    x = torch.randn(3)

    def model(p):
        return {"out": p["w"] @ x + p["b"][0], "scale": p["b"][1][0]}

    jacobian = ours.jacobian(model, params)
    assert jacobian["out"]["w"].shape == (2, 2, 3)
    assert jacobian["out"]["b"][1][0].shape == (2,)
    assert_close(jacobian, torch.func.jacrev(model)(params))
    out, product = ours.vjp(model, params, {"scale": torch.tensor(2.0), "out": torch.ones(2)})
    assert_close(out, model(params))
    assert product["b"][1][0] == 2
    assert_close(product["b"][0], torch.ones(2))
    reordered = {"b": params["b"], "w": params["w"]}
    _, tangent = ours.jvp(model, params, reordered)
    assert_close(tangent["out"], model(params)["out"])
    hessian = ours.hessian(lambda p: model(p)["out"].pow(2).sum() * p["b"][1][0], params)
    assert hessian["w"]["b"][1][0].shape == (2, 3)


def test_a_tuple_of_nests_is_several_arguments():
    def f(p, x):
        return p["w"] @ x

    p, x = {"w": torch.randn(2, 3)}, torch.randn(3)
    by_p, by_x = ours.jacobian(f, (p, x))
    assert_close(by_p, {"w": torch.func.jacrev(f)(p, x)["w"]})
    assert_close(by_x, p["w"])


def test_named_parameters_of_a_module():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x = torch.randn(5, 3)

    def f(params):
        return torch.func.functional_call(model, params, (x,))

    params = dict(model.named_parameters())
    assert_close(ours.jacobian(f, params), torch.func.jacrev(f)(params))
    value, grads = ours.value_and_grad(lambda p: f(p).pow(2).sum(), params)
    expected, torchs = torch.func.grad_and_value(lambda p: f(p).pow(2).sum())(params)[::-1]
    assert_close((value, grads), (expected, torchs))
    assert all(p.grad is None for p in model.parameters())


def test_created_graphs_are_differentiated_again():
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    for mine, torchs in [
        (ours.jacobian(single, x, create_graph=True), theirs.jacobian(single, x, True)),
        (
            ours.value_and_grad(lambda t: single(t).sum(), x, create_graph=True)[1],
            theirs.jacobian(lambda t: single(t).sum(), x, True),
        ),
    ]:
        assert_close(
            torch.autograd.grad(mine.pow(2).sum(), x)[0],
            torch.autograd.grad(torchs.pow(2).sum(), x)[0],
        )


@pytest.mark.parametrize("name", NAMES)
def test_no_grad_outside_makes_no_difference(name):
    x = torch.randn(3, dtype=torch.float64)
    scalar = name in {"vhp", "hvp", "hessian"}
    function = (lambda t: single(t).sum()) if scalar else single
    options = {"v": torch.ones(5 if name == "vjp" else 3, dtype=x.dtype)}
    options = options if name in PRODUCTS else {}
    expected = getattr(ours, name)(function, x, **options)
    with torch.no_grad():
        alike(getattr(ours, name)(function, x, **options), expected)
        assert not torch.is_grad_enabled()


def test_the_function_sees_tensors_of_its_own_and_is_called_once():
    x = torch.randn(3, requires_grad=True)
    seen = []

    def f(t):
        seen.append(t)
        return t * x  # the x around it is a constant

    assert_close(ours.jacobian(f, x), torch.diag(x.detach()))
    (own,) = seen
    assert own is not x
    assert own.requires_grad


@pytest.mark.parametrize("options", [{}, {"vectorize": True}, {"vectorize": False}], ids=str)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_matrix_owns_its_memory(create_graph, options):
    buffer = torch.arange(3.0)

    class Saved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum()

        @staticmethod
        def backward(ctx, grad):
            return buffer

    def twice(function):
        return lambda x: torch.stack([function(x), function(x)])

    for function in (torch.sum, twice(torch.sum), Saved.apply, twice(Saved.apply)):
        matrix = ours.jacobian(function, torch.ones(3), create_graph, **options).detach()
        matrix.add_(1)  # refused where elements share memory
        assert matrix.untyped_storage().data_ptr() != buffer.untyped_storage().data_ptr()
    assert buffer.tolist() == [0, 1, 2]

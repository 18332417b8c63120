"""C++ Functions under torch.func: each transform, and transforms of transforms."""

from __future__ import annotations

import pytest
import torch
from function import gallery
from function.gallery import Case, scalar, vectors
from torch.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
    vmap,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:There is a performance drop:UserWarning",  # of kernels, which run in a loop
    "ignore:Attempted to insert a get_attr Node:UserWarning",  # of linearize, whatever the function
)


@pytest.fixture(scope="module")
def m(gallery_module):
    return gallery_module


@pytest.fixture(params=gallery.NAMES)
def case(request, m) -> Case:
    return next(case for case in gallery.cases(m) if case.name == request.param)


def assert_same(ours, theirs, *inputs):
    """Close to 1 in 10^12: vmap and forward mode add up in another order."""
    torch.testing.assert_close(ours(*inputs), theirs(*inputs), rtol=1e-12, atol=1e-12)


ARGS = {1: 0, 2: (0, 1), 3: (0, 1, 2)}


@pytest.mark.parametrize("transform", [grad, grad_and_value], ids=["grad", "grad_and_value"])
def test_grad(case, transform):
    argnums = ARGS[case.arity]
    assert_same(
        transform(scalar(case.ours), argnums),
        transform(scalar(case.theirs), argnums),
        *vectors(case),
    )


@pytest.mark.parametrize("transform", [jacrev, jacfwd, hessian], ids=lambda t: t.__name__)
def test_jacobian_and_hessian(case, transform):
    argnums = ARGS[case.arity]
    assert_same(transform(case.ours, argnums), transform(case.theirs, argnums), *vectors(case))


def test_vjp(case):
    inputs = vectors(case)
    y, pull = vjp(case.ours, *inputs)
    expected, expected_pull = vjp(case.theirs, *inputs)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    v = torch.utils._pytree.tree_map(torch.randn_like, y)
    assert_same(pull, expected_pull, v)


def test_jvp(case):
    inputs, tangents = vectors(case), vectors(case)
    assert_same(
        lambda *x: jvp(case.ours, x, tangents), lambda *x: jvp(case.theirs, x, tangents), *inputs
    )


def test_linearize(case):
    inputs, tangents = vectors(case), vectors(case)
    _, ours = linearize(case.ours, *inputs)
    _, theirs = linearize(case.theirs, *inputs)
    assert_same(ours, theirs, *tangents)


@pytest.mark.parametrize(
    "mapped",
    [
        lambda f, n: vmap(f),
        lambda f, n: vmap(f, in_dims=(0, *[None] * (n - 1))),
        lambda f, n: vmap(f, in_dims=1, out_dims=1),
        lambda f, n: vmap(f, chunk_size=2),
    ],
    ids=["all", "first", "dims", "chunked"],
)
def test_vmap(case, mapped, request):
    inputs = vectors(case, 3)
    if "first" in request.node.name:
        inputs = (inputs[0], *(x[0] for x in inputs[1:]))
    assert_same(mapped(case.ours, case.arity), mapped(case.theirs, case.arity), *inputs)


def test_vmap_of_vmap(case):
    assert_same(vmap(vmap(case.ours)), vmap(vmap(case.theirs)), *vectors(case, 2, 2))


TRANSFORMS = {
    "grad": lambda f: grad(scalar(f)),
    "jacrev": jacrev,
    "jacfwd": jacfwd,
    "vjp": lambda f: lambda *x: vjp(f, *x)[1](f(*x)),
    "jvp": lambda f: lambda *x: jvp(f, x, x)[1],
    "hessian": hessian,
    "vmap": lambda f: lambda *x: vmap(f)(*(t.expand(2, *t.shape) for t in x)),
}


@pytest.mark.parametrize("inner", TRANSFORMS)
@pytest.mark.parametrize("outer", TRANSFORMS)
@pytest.mark.parametrize("name", ["cube", "pair", "exp", "sin_times", "pretend", "triple_"])
def test_transform_of_transform(m, name, outer, inner):
    case = next(case for case in gallery.cases(m) if case.name == name)
    forward = {"jacfwd", "jvp", "hessian"}
    if not case.nested_jvp and {outer, inner} <= forward:
        pytest.skip("torch's own: ZeroTensors are immutable, or pytorch/pytorch#197867")

    def both(f):
        return TRANSFORMS[outer](TRANSFORMS[inner](f))

    assert_same(both(case.ours), both(case.theirs), *vectors(case, size=2))


@pytest.mark.parametrize("name", ["cube", "exp", "sin_times", "square", "pretend"])
def test_third_order(m, name):
    case = next(case for case in gallery.cases(m) if case.name == name)
    inputs = vectors(case)
    ours, theirs = (
        grad(scalar(grad(scalar(grad(scalar(f))))))(*inputs) for f in (case.ours, case.theirs)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)  # the third power of rounding


def test_nested_forward_mode_is_right_where_torch_is_silently_wrong(m):
    x = torch.tensor(2.0, dtype=torch.float64)
    for f in (m.cube, lambda x: m.sin_times(x, 1.0, x)):
        reverse = grad(grad(f))(x)
        torch.testing.assert_close(jacfwd(jacfwd(f))(x), reverse)
    assert jacfwd(jacfwd(jacfwd(m.cube)))(x) == 6


def test_autograd_goes_through_a_transform(m):
    """A tensor of the world outside, seen from within: per-sample gradients of a shared weight."""
    x = torch.randn(4, 3, dtype=torch.float64)
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)

    def norms(product, cube):
        def loss(w, x):
            return cube(product(x, w)).sum()

        return vmap(grad(loss), in_dims=(None, 0))(w, x).pow(2).sum()

    ours = torch.autograd.grad(norms(m.product, m.cube), w)
    theirs = torch.autograd.grad(norms(torch.mul, lambda x: x**3), w)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_module_with_a_function_inside(m):
    class Layer(torch.nn.Module):
        def __init__(self, f):
            super().__init__()
            self.linear, self.f = torch.nn.Linear(3, 2, dtype=torch.float64), f

        def forward(self, x):
            return self.f(self.linear(x)).sum()

    ours, theirs = Layer(m.cube), Layer(lambda x: x**3)
    weights = dict(ours.named_parameters())
    x = torch.randn(5, 3, dtype=torch.float64)

    def gradients(layer):
        return vmap(grad(lambda w, x: functional_call(layer, w, (x,))), in_dims=(None, 0))(
            weights, x
        )

    torch.testing.assert_close(gradients(ours), gradients(theirs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_randomness_reaches_what_forward_draws(m, randomness):
    x = torch.ones(3, 2000, dtype=torch.float64)
    y = vmap(m.noisy, randomness=randomness)(x)
    assert torch.equal(y[0], y[1]) == (randomness == "same")
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(m.noisy)(x)


def test_vmap_of_the_struct_is_used(m):
    x = torch.randn(3, 4, dtype=torch.float64)
    before = m.maps()
    assert torch.equal(vmap(m.mapped_square)(x), x * x)
    assert torch.equal(vmap(m.mapped_square, in_dims=1, out_dims=1)(x), x * x)
    assert m.maps() == before + 2
    torch.testing.assert_close(vmap(grad(lambda x: m.mapped_square(x).sum()))(x), 2 * x)
    torch.testing.assert_close(grad(lambda x: vmap(m.mapped_square)(x).sum())(x), 2 * x)
    torch.testing.assert_close(
        vmap(hessian(lambda x: m.mapped_square(x).sum()))(x),
        2 * torch.eye(4).double().expand(3, 4, 4),
    )
    torch.testing.assert_close(vmap(jacfwd(m.mapped_square))(x), torch.diag_embed(2 * x))


def test_operator_takes_part_too(m):
    x = torch.randn(3, dtype=torch.float64)
    op = torch.ops.gallery.cube
    assert_same(grad(lambda x: op(x).sum()), lambda x: 3 * x * x, x)
    assert_same(vmap(op), lambda x: x**3, x)
    assert_same(hessian(lambda x: op(x).sum()), lambda x: torch.diag(6 * x), x)


def test_make_fx_sees_the_operators_of_forward_and_of_the_gradient(m):
    from torch.fx.experimental.proxy_tensor import make_fx

    x = torch.randn(3, dtype=torch.float64)
    traced = make_fx(grad(lambda x: m.pretend(x).sum()))(x)
    assert torch.equal(traced(x + 1), grad(lambda x: m.pretend(x).sum())(x + 1))


def test_kernel_without_an_operator_says_how(m):
    x = torch.randn(3, 2, dtype=torch.float64)
    torch.testing.assert_close(grad(lambda x: m.raw_square(x).sum())(x), 2 * x)
    with pytest.raises(
        RuntimeError, match=r"(?s)RawSquare: it reads the memory.*libgrad::def_kernel"
    ):
        vmap(m.raw_square)(x)


def test_in_place_function_must_say_so(m):
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match=r'Triple: torch.func met an in-place.*mutates\("x"\)'):
        vmap(m.triple_unsaid)(x)


def test_in_place_function_returns_the_same_object(m):
    seen = []

    def f(x):
        y = x * 1
        seen.append(m.triple_(y) is y)
        return (y * y).sum()

    x = torch.randn(3, dtype=torch.float64)
    torch.testing.assert_close(grad(f)(x), 18 * x)
    torch.testing.assert_close(vmap(f)(x), 9 * x * x)
    assert seen == [True, True]


def test_wrong_number_of_gradients_names_the_function(m):
    with pytest.raises(RuntimeError, match=r"Miscounted returned an incorrect number of gradients"):
        grad(lambda x: m.miscounted(x).sum())(torch.ones(3))


def test_error_of_forward_comes_as_it_is(m):
    with pytest.raises(ValueError, match="mode: max"):
        vmap(lambda x: m.everything([x], mode="max"))(torch.ones(2, 3))
    assert not torch._C._are_functorch_transforms_active()

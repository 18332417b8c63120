"""libgrad.Function under torch.func, torch.compile and the tracer: as torch's own."""

from __future__ import annotations

import pytest
import torch
from function_class.function_classes import define, function, ours, theirs
from support.parity import assert_same, outcome, python
from support.paths import TESTS
from torch.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

import libgrad

x = torch.rand(3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
xs = torch.stack([x, x * 2])


def scale(f):
    return lambda t: f.Scale.apply(t, t.sin())[0]


def loss(f):
    return lambda t: (scale(f)(t) ** 2).sum()


TRANSFORMS = {
    "grad": lambda f: grad(loss(f))(x),
    "vjp": lambda f: vjp(scale(f), x)[1](x),
    "jvp": lambda f: jvp(scale(f), (x,), (x,)),
    "linearize": lambda f: linearize(scale(f), x)[1](x),
    "vmap": lambda f: vmap(scale(f))(xs),
    "vmap in_dims": lambda f: vmap(scale(f), in_dims=1, out_dims=1)(xs),
    "jacrev": lambda f: jacrev(scale(f))(x),
    "jacfwd": lambda f: jacfwd(scale(f))(x),
    "hessian": lambda f: hessian(loss(f))(x),
    "vmap of grad": lambda f: vmap(grad(loss(f)))(xs),
    "grad of vmap": lambda f: grad(lambda t: vmap(loss(f))(t).sum())(xs),
    "autograd over jacrev": lambda f: torch.autograd.functional.jacobian(jacrev(scale(f)), x),
}


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")  # torch's linearize
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_give_what_they_give_for_torchs_function(name: str) -> None:
    assert_same(TRANSFORMS[name](ours), TRANSFORMS[name](theirs))


def test_a_rule_for_vmap_is_used() -> None:
    f = function(
        lambda x: x * 2,
        setup_context=lambda ctx, inputs, output: None,
        vmap=lambda info, in_dims, x: (x * 3 + info.batch_size, in_dims[0]),
    )
    assert_same(vmap(f.apply)(xs), xs * 3 + 2)


@pytest.mark.parametrize("run", [lambda f: grad(f)(x), lambda f: vmap(f)(xs)])
def test_what_transforms_cannot_do_they_say_as_for_torch(run) -> None:
    def cube(f):
        return outcome(lambda: run(lambda t: f.Cube.apply(t).sum()))

    assert cube(ours)[1:] == cube(theirs)[1:]
    assert cube(ours)[1] is RuntimeError  # forward(ctx, ...) has no setup_context


def test_a_tensor_that_outlived_its_transform_is_unwrapped() -> None:
    kept = []

    def keep(f):
        _, pull = vjp(lambda t: (kept.append(t), t.sin())[1], x)
        pull(x)
        return f.Cube.apply(kept[-1])

    with torch.enable_grad():
        assert_same(keep(ours), keep(theirs))


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.trace.*:DeprecationWarning",
    "ignore:.*torch.jit.trace.*:FutureWarning",
)
def test_the_tracer_records_it_as_torchs() -> None:
    def graph(f):
        traced = torch.jit.trace(lambda t: f.Cube.apply(t, 2), x.clone().requires_grad_())
        return [node.kind() for node in traced.graph.nodes()], traced(x)

    assert_same(graph(ours), graph(theirs))


def test_torch_compile_takes_it_whole_also_in_torchs_place_and_no_import_loads_dynamo() -> None:
    code = """
import sys
assert "torch._dynamo" not in sys.modules
sys.path[:0] = PATH
torch.autograd.Function = torch.autograd.function.Function = libgrad.Function
from function_class.function_classes import ours, Function
x = torch.rand(4, requires_grad=True)
fns = {
    "with ctx": lambda x: ours.Cube.apply(x, 2) * 2,
    "setup_context": lambda x: Function.apply(x, 3.0),
    "not differentiable": lambda x: ours.Sort.apply(x)[0] * x,
    "grad": lambda x: torch.func.grad(lambda x: Function.apply(x, 3.0).sum())(x),
}
for name, f in fns.items():
    y = torch.compile(f, backend="aot_eager", fullgraph=True)(x)
    assert torch.allclose(y, f(x)), name
    if y.requires_grad:
        ours_, theirs = (torch.autograd.grad(t.sum(), x)[0] for t in (y, f(x)))
        assert torch.allclose(ours_, theirs), name
y = ours.Cube.apply(x).sum()
try:
    with torch._dynamo.utils.maybe_enable_compiled_autograd(True, fullgraph=False):
        y.backward()
except NotImplementedError as error:
    print(str(error).split(";")[0])
class Double(torch.autograd.Function):  # torch's own apply serves the transform
    generate_vmap_rule = True
    forward = staticmethod(lambda x: x * 2)
    setup_context = staticmethod(lambda ctx, inputs, output: None)
print(torch.func.vmap(Double.apply)(torch.ones(2)).tolist())
"""
    code = code.replace("PATH", repr([str(TESTS)]))
    code = code.replace("ours, Function", "ours, Power as Function")
    refused = "CubeBackward: compiled autograd cannot trace the node of a libgrad.Function"
    assert python(code).splitlines() == [refused, "[2.0, 2.0]"]


def test_subclasses_made_anew_are_functions_of_their_own() -> None:
    first, second = define(libgrad.Function), define(libgrad.Function)
    assert type(first.Cube.apply(x.clone().requires_grad_()).grad_fn) is first.Cube._backward_cls
    assert first.Cube._backward_cls is not second.Cube._backward_cls

    class Twice(first.Cube):
        @staticmethod
        def forward(ctx, x, k=1):
            return first.Cube.forward(ctx, x, 2 * k)

    y = Twice.apply(x.clone().requires_grad_())
    assert type(y.grad_fn).__name__ == "TwiceBackward"
    assert_same(y.detach(), x**3 * 2)

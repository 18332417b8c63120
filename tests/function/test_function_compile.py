"""C++ Functions under torch.compile, torch.export and compiled autograd."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from function import gallery
from function.gallery import Case, scalar, vectors

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's compiler, its own
]


@pytest.fixture(scope="module")
def m(gallery_module):
    return gallery_module


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(params=[n for n in gallery.NAMES if n != "scaled"])
def case(request, m) -> Case:
    return next(case for case in gallery.cases(m) if case.name == request.param)


def value_and_gradients(f, *inputs):
    inputs = [x.detach().requires_grad_() for x in inputs]
    y = f(*inputs)
    return y, torch.autograd.grad(scalar(lambda: y)(), inputs)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_forward_and_backward_without_a_graph_break(case, backend):
    compiled = torch.compile(case.ours, fullgraph=True, backend=backend)
    for size in (3, 5):
        inputs = vectors(case, size=size)
        torch.testing.assert_close(
            value_and_gradients(compiled, *inputs),
            value_and_gradients(case.ours, *inputs),
            rtol=0,
            atol=0,
        )


def test_dynamic_shapes_compile_once(m):
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")

    def f(x, w):
        a, b = m.pair(m.cube(x), m.exp(w), s=3)
        return m.vector_sum([a, b]).sum() + m.square(x).sum()

    compiled = torch.compile(f, fullgraph=True, backend=counter, dynamic=True)
    for size in (3, 5, 8):
        inputs = torch.randn(2, size, dtype=torch.float64)
        torch.testing.assert_close(
            value_and_gradients(compiled, *inputs), value_and_gradients(f, *inputs)
        )
    assert counter.frame_count == 1


def test_inductor_runs_them_all_in_one_graph(m):
    def f(x, w):
        a, b = m.pair(m.cube(x), m.exp(w), s=3)
        c = m.sin_times(a, 2.0, b) + m.pretend(x) + m.round(w) + m.triple_(x * 1)
        return m.everything([a, c], b, [0]) + m.square(x).sum() + m.sort(w)[0].sum()

    inputs = torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(
        value_and_gradients(torch.compile(f, fullgraph=True, backend="inductor"), *inputs),
        value_and_gradients(f, *inputs),
    )


@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp", "hessian"])
def test_compile_over_torch_func(m, transform):
    from torch.func import grad, hessian, jvp, vmap

    over = {
        "grad": lambda f: grad(scalar(f)),
        "vmap": vmap,
        "jvp": lambda f: lambda x: jvp(f, (x,), (x,))[1],
        "hessian": hessian,
    }[transform]
    for f in (m.cube, m.pretend):
        x = (
            torch.randn(2, 3, dtype=torch.float64)
            if transform == "vmap"
            else torch.randn(3).double()
        )
        compiled = torch.compile(over(f), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), over(f)(x))


def test_graph_holds_the_gradient_of_the_struct(m):
    """What is compiled is the user's backward, not the derivative of forward's operators."""
    graphs = []

    def backend(graph, inputs):
        from functorch.compile import make_boxed_func
        from torch._dynamo.backends.common import aot_autograd

        def keep(graph, inputs):
            graphs.append(graph.code)
            return make_boxed_func(graph.forward)

        return aot_autograd(fw_compiler=keep, bw_compiler=keep)(graph, inputs)

    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    y = torch.compile(m.round, fullgraph=True, backend=backend)(x)
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [1, 1, 1]
    assert "aten.round" in graphs[0]


class Model(torch.nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x * 2) + 1


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("name", ["round", "cube", "square", "triple_"])
def test_export_keeps_the_gradient(m, name, strict):
    model = Model(getattr(m, name))
    program = torch.export.export(model, (torch.randn(3, dtype=torch.float64),), strict=strict)
    x = torch.randn(3, dtype=torch.float64)
    torch.testing.assert_close(
        value_and_gradients(program.module(), x), value_and_gradients(model, x), rtol=0, atol=0
    )


def test_argument_that_no_operator_takes(m):
    """The function itself is traced; an exported program would lose its gradient: refused."""

    def f(x):
        return m.scaled(x * 2, {"a": 2.0, "b": 4.0})

    x = torch.randn(3)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(value_and_gradients(compiled, x), value_and_gradients(f, x))
    with pytest.raises(TypeError, match="scaled takes an argument that no operator takes: scales"):
        torch.export.export(Model(f), (x,), strict=False)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own
def test_compiled_autograd(m):
    def f(x, w):
        return scalar(lambda: m.pair(m.cube(x), m.exp(w)))()

    inputs = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    expected = torch.autograd.grad(f(*inputs), inputs)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager")):
        f(*inputs).backward()
    torch.testing.assert_close([x.grad for x in inputs], list(expected))


def test_operator_of_the_dispatcher(m):
    assert str(torch.ops.gallery.cube.default._schema) == "gallery::cube(Tensor x) -> Tensor"
    assert (
        str(torch.ops.gallery.everything.default._schema)
        == "gallery::everything(Tensor[] xs, Tensor? bias=None, int[] dims=[0], bool keep=False, "
        '*, int n=3, float s=0.5, str mode="sum", float? shift=None) -> Tensor'
    )
    assert str(torch.ops.gallery.triple_.default._schema) == (
        "gallery::triple_(Tensor(a!) x) -> Tensor(a!)"
    )
    assert str(torch.ops.gallery.exp_into.default._schema) == (
        "gallery::exp_into(Tensor x, Tensor(a!) out) -> Tensor(a!)"
    )
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert type(torch.ops.gallery.cube(x).grad_fn).__name__ == "CubeBackward"


def test_in_place_function_that_does_not_say_so_is_refused(m):
    with pytest.raises(Exception, match=r'Triple: .*in-place.*mutates\("x"\)'):
        torch.compile(lambda x: m.triple_unsaid(x * 1), fullgraph=True, backend="aot_eager")(
            torch.ones(3)
        )


@pytest.mark.parametrize("name", ["cube", "pair", "exp", "sin_times", "sort", "triple_", "square"])
def test_opcheck(m, name):
    x, w = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    args = {"pair": (x, w), "sin_times": (x, 2.0, w), "triple_": (x.detach(),)}.get(name, (x,))
    torch.library.opcheck(getattr(torch.ops.gallery, name).default, args)


def test_kernel_is_an_operator_that_refuses_what_it_cannot_do(m):
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    y = torch.ops.gallery.square_of(x)
    with pytest.raises(
        RuntimeError, match=r"square_of.*not implemented|not implemented.*square_of"
    ):
        y.sum().backward()
    assert torch.ops.gallery.square_of(torch.empty(4, device="meta")).shape == (4,)


def test_import_leaves_the_compiler_alone():
    code = (
        "import sys, libgrad; libgrad._C._demo.swish; "
        "print([n for n in sys.modules if n.startswith(('torch._dynamo', 'torch._inductor'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""libgrad.functional's linear operators: products against the matrices, and what is refused."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from torch.nn.utils import parameters_to_vector
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from libgrad import functional as ours

W = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)


def close(mine, theirs) -> None:
    assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def pair(x, y):
    return torch.tanh(W.to(x) @ x) * y.sum(), x.sum() * y.sin()


def loss(x, y):
    return (torch.sin(W.to(x) @ x).prod() * y.exp()).sum() * x[0]


def nested(p):
    return {"out": p["w"] @ p["b"][0] * p["b"][1][0], "scale": p["b"][1][0].exp()}


def point(device="cpu", dtype=torch.float64):
    return torch.randn(3, dtype=dtype, device=device), torch.randn(4, 2, dtype=dtype, device=device)


def parameters():
    shapes = [(2, 3), (3,), ()]
    w, b, scale = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return {"b": [b, (scale,)], "w": w}


def flat(nest) -> torch.Tensor:
    return parameters_to_vector(torch.utils._pytree.tree_leaves(nest))


def full(function, inputs) -> torch.Tensor:
    """The Jacobian of flat outputs in flat inputs, by torch."""
    leaves, spec = torch.utils._pytree.tree_flatten(inputs)

    def of_flat(vector):
        parts = vector.split([leaf.numel() for leaf in leaves])
        shaped = [part.view_as(leaf) for part, leaf in zip(parts, leaves, strict=True)]
        nest = torch.utils._pytree.tree_unflatten(shaped, spec)
        return flat(function(*nest) if isinstance(nest, tuple) else function(nest))

    start = flat(inputs)
    if of_flat(start).numel() == 0:  # torch: IndexError
        return start.new_zeros(0, start.numel())
    return torch.autograd.functional.jacobian(of_flat, start, vectorize=True)


CASES = {
    "one": (torch.sin, lambda device: torch.randn(4, dtype=torch.float64, device=device)),
    "matrix": (
        lambda x: x @ x.t(),
        lambda device: torch.randn(2, 3, dtype=torch.float64, device=device),
    ),
    "tuple": (pair, point),
    "nest": (nested, lambda device: parameters()),
    "number": (torch.exp, lambda device: torch.tensor(0.5, dtype=torch.float64)),
    "empty": (lambda x: x * 2, lambda device: torch.empty(2, 0, dtype=torch.float64)),
    "identity": (lambda x: x, lambda device: torch.randn(3, dtype=torch.float64)),
    "constant": (
        lambda x, y: (x * 2, torch.ones(2, dtype=x.dtype, device=x.device)),
        point,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_with_the_full_jacobian(name, device):
    function, make = CASES[name]
    inputs = make(device)
    matrix = full(function, inputs)
    operator = ours.jacobian_operator(function, inputs)
    rows, columns = operator.shape
    assert (rows, columns) == matrix.shape
    assert operator.T.shape == (columns, rows)
    assert (operator.dtype, operator.device) == (matrix.dtype, matrix.device)
    for a, m in ((operator, matrix), (operator.T, matrix.t()), (operator.T.T, matrix)):
        v = torch.randn(m.shape[1], dtype=m.dtype, device=m.device)
        block = torch.randn(m.shape[1], 4, dtype=m.dtype, device=m.device)
        close(a @ v, m @ v)
        close(a.matvec(v), m @ v)
        for many in (block, block[:, :1], block[:, :0]):
            close(a @ many, m @ many)
            close(a.matmat(many), m @ many)
        u = torch.randn(m.shape[0], dtype=m.dtype, device=m.device)
        close(a.rmatvec(u), m.t() @ u)


def test_products_with_a_hessian(device):
    x, y = point(device)
    v = torch.randn(11, dtype=x.dtype, device=device)
    block = torch.randn(11, 3, dtype=x.dtype, device=device)
    hessian = ours.hessian_operator(loss, (x, y))
    matrix = torch.autograd.functional.hessian(
        lambda t: loss(t[:3], t[3:].view(4, 2)), flat((x, y))
    )
    assert hessian.T is hessian
    assert hessian.shape == (11, 11)
    close(hessian @ v, matrix @ v)
    close(hessian.rmatvec(v), matrix @ v)
    close(hessian @ block, matrix @ block)
    linear = ours.hessian_operator(lambda x, y: x.sum(), (x, y))
    close(linear @ v, torch.zeros_like(v))


def test_nests_are_multiplied_as_the_function_groups_them():
    p = parameters()
    v = {"w": torch.randn_like(p["w"]), "b": [torch.randn_like(p["b"][0]), (p["b"][1][0],)]}
    operator = ours.jacobian_operator(nested, p)
    product = operator @ v
    expected = ours.jvp(nested, p, v)[1]
    assert list(product) == ["out", "scale"]
    close(product, expected)
    back = operator.T @ product
    close(back, ours.vjp(nested, p, product)[1])
    hessian = ours.hessian_operator(lambda p: flat(nested(p)).pow(3).sum(), p)
    close(hessian @ v, ours.hvp(lambda p: flat(nested(p)).pow(3).sum(), p, v)[1])


def test_the_function_is_called_once_and_no_grad_is_touched():
    x = torch.randn(3, requires_grad=True)
    calls = []
    operator = ours.jacobian_operator(lambda t: calls.append(t) or t.sin() * x, x)
    with torch.no_grad():
        products = [operator @ torch.ones(3) for _ in range(3)]
    products += [operator.T @ torch.ones(3), operator @ torch.eye(3)]
    assert len(calls) == 1
    assert x.grad is None
    assert not any(product.requires_grad for product in products)
    assert_close(products[4], torch.diag(x.detach().cos() * x.detach()))


def test_a_product_shares_no_memory_with_the_vector():
    v = torch.ones(3)
    operator = ours.jacobian_operator(lambda t: t, torch.randn(3))
    for product in (operator @ v, operator.T @ v):
        product.zero_()
    assert_close(v, torch.ones(3))


class Big(TorchDispatchMode):
    """Remembers the size of the largest tensor that an operator made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("make", [ours.jacobian_operator, ours.hessian_operator])
def test_nothing_of_the_size_of_the_matrix_is_made(make):
    n = 20_000
    x = torch.randn(n, dtype=torch.float64)
    hessian = make is ours.hessian_operator
    v = torch.randn(n, dtype=torch.float64)
    with Big() as seen:
        operator = make((lambda t: t.sin().sum()) if hessian else torch.sin, x)
        products = operator @ v, operator.T @ v, operator @ torch.stack((v, v, v), 1)
    expected = (-x.sin() if hessian else x.cos()) * v
    close(products[0], expected)
    close(products[1], expected)
    close(products[2], torch.stack((expected,) * 3, 1))
    assert n * 8 <= seen.largest <= 3 * n * 8


def test_threads_share_an_operator():
    x, y = point()
    operator = ours.jacobian_operator(pair, (x, y))
    matrix = full(pair, (x, y))
    vectors = torch.randn(8, 11, dtype=x.dtype)
    products = [None] * 8

    def multiply(i):
        products[i] = operator @ vectors[i], operator.T @ (operator @ vectors[i])

    threads = [threading.Thread(target=multiply, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for v, (product, back) in zip(vectors, products, strict=True):
        close(product, matrix @ v)
        close(back, matrix.t() @ (matrix @ v))


def test_the_graph_lives_as_long_as_the_operator():
    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor

    saved = []

    def pack(tensor):
        box = Saved(tensor)
        saved.append(weakref.ref(box))
        return box

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
        operator = ours.jacobian_operator(lambda t: t.sin().cos(), torch.randn(3))
        transposed = operator.T
        operator @ torch.ones(3)
    del operator
    gc.collect()
    assert any(ref() for ref in saved)
    transposed @ torch.ones(3)
    del transposed
    gc.collect()
    assert saved
    assert not any(ref() for ref in saved)


def test_eigenvalue_of_a_hessian_by_scipy():
    linalg = pytest.importorskip("scipy.sparse.linalg")
    x = torch.randn(30, dtype=torch.float64)
    a = torch.randn(30, 30, dtype=torch.float64)

    def f(t):
        return (a @ t).tanh().pow(2).sum() + t.pow(4).sum()

    hessian = ours.hessian_operator(f, x).to_scipy()
    (value,), _ = linalg.eigsh(hessian, k=1, which="LA")
    expected = torch.linalg.eigvalsh(torch.autograd.functional.hessian(f, x))[-1]
    assert value == pytest.approx(expected.item(), rel=1e-9)


def test_least_squares_and_singular_values_by_scipy(device):
    linalg = pytest.importorskip("scipy.sparse.linalg")
    x = torch.randn(6, dtype=torch.float64, device=device)
    a = torch.randn(10, 6, dtype=torch.float64, device=device)
    operator = ours.jacobian_operator(lambda t: (a @ t).sin(), x)
    matrix = ((a @ x).cos()[:, None] * a).cpu()
    b = torch.randn(10, dtype=torch.float64)
    found = linalg.lsqr(operator.to_scipy(), b.numpy(), atol=1e-14, btol=1e-14)[0]
    assert_close(torch.tensor(found), torch.linalg.lstsq(matrix, b[:, None]).solution[:, 0])
    values = linalg.svds(operator.to_scipy(), k=2, return_singular_vectors=False)
    assert_close(
        torch.tensor(values.copy()).sort().values, torch.linalg.svdvals(matrix)[:2].flip(0)
    )
    wrapped = operator.to_scipy()
    assert wrapped.dtype == "float64"
    block = torch.randn(10, 3, dtype=torch.float64)
    close(torch.tensor(wrapped.H @ block.numpy()), matrix.t() @ block)
    close(torch.tensor(wrapped.T @ block.numpy()[::-1]), matrix.t() @ block.flip(0))
    with pytest.raises(TypeError, match="complex vector"):
        wrapped.matvec(torch.ones(6, dtype=torch.complex128).numpy())


def test_repr_names_shape_dtype_and_device():
    operator = ours.jacobian_operator(lambda x: x.sum(), torch.ones(2, 3))
    assert repr(operator) == "LinearOperator(shape=(1, 6), dtype=torch.float32, device='cpu')"

"""C++ Functions in forward mode: torch.autograd.forward_ad, and from C++."""

from __future__ import annotations

import pytest
import torch
import torch.autograd.forward_ad as fwd
from function import gallery
from function.gallery import Case, vectors
from torch.autograd import gradcheck, gradgradcheck


@pytest.fixture(scope="module")
def m(gallery_module):
    return gallery_module


@pytest.fixture(params=gallery.NAMES)
def case(request, m) -> Case:
    return next(case for case in gallery.cases(m) if case.name == request.param)


def tensors(y):
    return y if isinstance(y, tuple) else (y,)


def duals(f, inputs, tangents):
    """Values and tangents (zeros for none) of f."""
    with fwd.dual_level():
        y = f(
            *(
                x if t is None else fwd.make_dual(x, t)
                for x, t in zip(inputs, tangents, strict=True)
            )
        )
        parts = [fwd.unpack_dual(part) for part in tensors(y)]
        return [(p, torch.zeros_like(p) if t is None else t) for p, t in parts]


@pytest.mark.parametrize("tracked", [False, True], ids=["plain", "requires_grad"])
@pytest.mark.parametrize("grad_mode", [True, False], ids=["grad", "no_grad"])
def test_tangents(case, tracked, grad_mode):
    inputs = tuple(x.requires_grad_(tracked) for x in vectors(case))
    tangents = vectors(case)
    with torch.set_grad_enabled(grad_mode):
        ours, theirs = (duals(f, inputs, tangents) for f in (case.ours, case.theirs))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for (y, _), (expected, _) in zip(ours, theirs, strict=True):
        assert y.requires_grad == expected.requires_grad == (tracked and grad_mode)


def test_one_input_alone_has_a_tangent(case):
    inputs = vectors(case)
    for i in range(case.arity):
        tangents = [torch.ones_like(x) if i == j else None for j, x in enumerate(inputs)]
        ours, theirs = (duals(f, inputs, tangents) for f in (case.ours, case.theirs))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradcheck_forward_and_forward_over_reverse(case):
    if not case.exact:
        pytest.skip("its gradient is not the derivative")
    inputs = tuple(x.requires_grad_() for x in vectors(case))
    assert gradcheck(case.ours, inputs, check_forward_ad=True, check_batched_grad=False)
    assert gradgradcheck(case.ours, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("which", range(2))
def test_forward_over_reverse_keeps_the_tangent_of_an_input_without_gradient(m, which):
    """d/dw of dy/dx: w has the tangent, x the gradient, and nothing is silently zero."""
    x, w = torch.randn(2, 3, dtype=torch.float64)
    args = [x.requires_grad_(), w]
    for f in (
        m.product,
        lambda x, w: m.pair(x, w)[0] / 2,
        lambda x, w: m.sin_times(w * 0 + 1, 1.0, w) * x,
    ):
        with fwd.dual_level():
            a = [args[0], fwd.make_dual(w, torch.ones_like(w))]
            y = f(*(a if which == 0 else reversed(a))) if f is m.product else f(*a)
            (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
            tangent = fwd.unpack_dual(dx).tangent
            assert tangent is not None
            assert tangent.abs().sum() > 0


def test_saved_output_keeps_its_tangent(m):
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    with fwd.dual_level():
        y = m.exp(fwd.make_dual(x, torch.ones_like(x)))
        (dx,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(fwd.unpack_dual(dx).tangent, x.exp().detach())


def test_jvp_of_the_struct_is_used(m):
    x, w = torch.randn(2, 3, dtype=torch.float64)
    before = m.jvps()
    duals(lambda x, w: m.sin_times(x, 2.0, w), (x, w), (x, w))
    torch.func.jvp(lambda x: m.sin_times(x, 2.0, w), (x,), (x,))
    assert m.jvps() == before + 2


def test_missing_tangents_are_undefined_without_materialized_gradients(m):
    x, w = torch.randn(2, 3, dtype=torch.float64)
    with fwd.dual_level():
        left, right = m.sparse(fwd.make_dual(x, x), w)
        assert torch.equal(fwd.unpack_dual(left).tangent, 2 * x)
        assert fwd.unpack_dual(right).tangent is None


def test_output_without_gradient_has_no_tangent(m):
    with fwd.dual_level():
        values, indices = m.sort(fwd.make_dual(torch.tensor([2.0, 1.0]), torch.tensor([5.0, 7.0])))
        assert fwd.unpack_dual(values).tangent.tolist() == [7, 5]
        assert fwd.unpack_dual(indices).tangent is None


def test_backward_that_cannot_be_differentiated_is_an_error_not_a_zero(m):
    x = torch.randn(3, dtype=torch.float64)
    with fwd.dual_level(), pytest.raises(NotImplementedError, match="Opaque: forward mode needs"):
        m.opaque(fwd.make_dual(x, x))
    assert torch.is_grad_enabled()
    assert torch._C._is_fwd_grad_enabled()


@pytest.mark.parametrize("transform", ["jvp", "jacfwd", "vmap"])
def test_nor_is_it_a_zero_under_torch_func(m, transform):
    def run(x):
        if transform == "jacfwd":
            return torch.func.jacfwd(m.opaque)(x)
        return torch.func.jvp(m.opaque, (x,), (x,))[1]

    x = torch.ones(2, 3, dtype=torch.float64)
    with pytest.raises((NotImplementedError, RuntimeError), match="Opaque: "):
        torch.func.vmap(run)(x) if transform == "vmap" else run(x[0])
    assert not torch._C._are_functorch_transforms_active()


@pytest.mark.parametrize("unseen", ["all", "part", "operator"])
def test_nor_where_backward_is_zero_at_ones_or_one_part_of_it_is_seen(m, unseen):
    x, t = (torch.rand(3, dtype=torch.float64) + 1 for _ in range(2))
    with fwd.dual_level(), pytest.raises(NotImplementedError, match="Share: forward mode needs"):
        m.share(fwd.make_dual(x, t), unseen)
    with pytest.raises(NotImplementedError, match="Share: forward mode needs"):
        torch.func.jvp(lambda x: m.share(x, unseen), (x,), (t,))


@pytest.mark.parametrize("tracked", [False, True])
def test_a_second_tangent_leaves_no_trace_in_the_graph(m, tracked):
    """The node has an edge for what required grad, and has saved the very tensors it was given."""
    x, w = (torch.randn(3, dtype=torch.float64) for _ in range(2))
    x.requires_grad_(tracked)
    with fwd.dual_level():
        dual = fwd.make_dual(w, w)
        y = m.product(fwd.make_dual(x, x), dual)
        assert torch.equal(fwd.unpack_dual(y).tangent, 2 * x * w)
        if not tracked:
            assert y.grad_fn is None
            return
        assert [node is not None for node, _ in y.grad_fn.next_functions] == [True, False]
        saved = y.grad_fn.saved_tensors[1]
        assert not saved.requires_grad
        assert torch.equal(fwd.unpack_dual(saved).tangent, w)
        assert torch.equal(torch.autograd.grad(y.sum(), x)[0], w)


def test_writing_to_a_view_cannot_leave_a_stale_tangent(m):
    """What shares memory with the input but not its tangent is made a copy."""
    x = torch.randn(2, 2, dtype=torch.float64)
    with fwd.dual_level():
        dual = fwd.make_dual(x, torch.ones_like(x))
        y = m.transposed(dual)
        assert torch.equal(fwd.unpack_dual(y).tangent, torch.ones(2, 2).double())
        y.mul_(2)
        primal, tangent = fwd.unpack_dual(dual)
        assert torch.equal(fwd.unpack_dual(y).tangent, torch.full((2, 2), 2.0).double())
        assert torch.equal(primal * (tangent / tangent), x)


@pytest.mark.parametrize("tracked", [False, True], ids=["plain", "requires_grad"])
def test_tangent_of_a_view_whatever_its_layout(m, tracked):
    x = torch.randn(3, 2, dtype=torch.float64).requires_grad_(tracked)
    t = torch.randn(3, 2, dtype=torch.float64)
    torch.testing.assert_close(duals(m.transposed, (x,), (t,)), [(x.t(), t.t())])
    torch.testing.assert_close(duals(m.transposed, (x[:2],), (t[1:],)), [(x[:2].t(), t[1:].t())])


def test_in_place_function_changes_the_dual_tensor_itself(m):
    x = torch.randn(3, dtype=torch.float64)
    with fwd.dual_level():
        dual = fwd.make_dual(x.clone(), torch.ones_like(x))
        assert m.triple_(dual) is dual
        primal, tangent = fwd.unpack_dual(dual)
        assert torch.equal(primal, 3 * x)
        assert torch.equal(tangent, torch.full_like(x, 3))
        with pytest.raises(
            RuntimeError, match=r'Triple: forward mode met an in-place .*mutates\("x"\)'
        ):
            m.triple_unsaid(dual)


def test_reverse_over_forward(m):
    """The gradient of a tangent."""
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    for f, second in ((m.cube, lambda x: 6 * x), (m.exp, torch.exp)):
        with fwd.dual_level():
            tangent = fwd.unpack_dual(f(fwd.make_dual(x, torch.ones_like(x)))).tangent
            (ddx,) = torch.autograd.grad(tangent.sum(), x)
        torch.testing.assert_close(ddx, second(x.detach()))


def test_complex_tangents(m):
    x, t = torch.randn(2, 3, dtype=torch.complex128)
    for ours, theirs in ((m.cube, lambda x: x**3), (m.abs2, lambda x: x.abs() ** 2)):
        torch.testing.assert_close(duals(ours, (x,), (t,)), duals(theirs, (x,), (t,)))
        assert gradcheck(ours, (x.clone().requires_grad_(),), check_forward_ad=True)


def test_from_cpp(m):
    x = torch.tensor([1.0, 2.0])
    assert m.tangent_of_cube(x, torch.ones(2)).tolist() == [3, 12]


def test_miscounted_tangents_name_the_function(m):
    with fwd.dual_level():
        x = fwd.make_dual(torch.ones(3), torch.ones(3))
        with pytest.raises(RuntimeError, match="BadJvp: jvp returned 2 tangents for 1 outputs"):
            m.bad_jvp(x, 2)
        with pytest.raises(
            RuntimeError, match=r"BadJvp: jvp returned a tangent \(float32 \[1, 3\]"
        ):
            m.bad_jvp(x, 1)

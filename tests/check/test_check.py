"""`check` on functions that are right: what it runs, what it leaves alone, what it takes."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from check.check_functions import Cube, Round, SavesConstant

import libgrad

# Of a torch.autograd.Function, jvp is not differentiated by another jvp: torch says zero.
NESTED_FORWARD = {"jacfwd(jacfwd)"}
QUICK = ("compile", "tracing")


def x(*shape: int, **options: object) -> torch.Tensor:
    return torch.randn(shape, **{"dtype": torch.double, **options})


def statuses(report) -> dict[str, str]:
    return {row.name: row.status for row in report}


def test_right_function_is_ok_in_every_mode():
    report = libgrad.check(Cube.apply, x(3, 2), skip="compile")
    assert {row.name for row in report.failed} <= NESTED_FORWARD, report
    ones = {name for name, status in statuses(report).items() if status == "n/a"}
    assert ones == {  # there is nothing to run them on
        "vmap of some inputs",
        "some inputs require grad",
        "non-differentiable outputs",
        "mixed dtypes",
        "opcheck",
    }
    groups = list(dict.fromkeys(row.group for row in report))
    assert groups == ["autograd", "dual", "func", "batch", "inputs", "around", "tracing"]


def test_every_row_can_be_ok():
    def f(a, b):
        return torch.tanh(a * b), (a * a).sum(), (a > 0).sum()

    report = libgrad.check(f, x(3, 2), x(3, 2), skip=QUICK)
    assert set(statuses(report).values()) == {"ok"}, report
    assert report["non-differentiable outputs"].detail == "output 2 (int64 [])"
    assert report["saved-tensor hooks"].detail.endswith("bytes")


@pytest.mark.parametrize(
    ("dtype", "seen"),
    [
        (torch.float32, "on a float64 copy"),
        (torch.float64, ""),
        (torch.bfloat16, "on a float64 copy"),
        (torch.complex64, "on a float64 copy"),
        (torch.complex128, ""),
    ],
    ids=str,
)
def test_dtypes(dtype, seen, device):
    inputs = [x(2, dtype=dtype, device=device) for _ in range(2)]
    report = libgrad.check(lambda a, b: a * a * b, *inputs, skip=QUICK)
    assert report.ok, report
    for name in ("gradcheck", "gradcheck fast", "gradgradcheck"):
        assert (report[name].status, report[name].detail) == ("ok", seen)


def test_complex_and_real_inputs_together():
    def f(z, r):
        return (z.conj() * r).exp() * z.abs(), r * r

    report = libgrad.check(f, x(2, dtype=torch.cdouble), x(2), skip=QUICK)
    assert report.ok, report


def test_lists_dicts_numbers_none_and_keywords_are_passed_on():
    def f(tensors, index, n, nothing, *, weights):
        assert nothing is None
        total = torch.stack(tensors).sum(0)[index] * n
        return {"y": total * weights["w"], "n": n}, [tensors[0].sum()]

    report = libgrad.check(
        f, [x(3), x(3)], torch.tensor([2, 0]), 3, None, kwargs={"weights": {"w": x()}}, skip=QUICK
    )
    assert report.ok, report
    assert report.title == (
        "f([float64 [3], float64 [3]], int64 [2], 3, None, weights={w: float64 []})"
    )


def test_places_in_structures_are_named():
    report = libgrad.check(
        lambda a, more: a * more["b"][1].detach(), x(2), {"b": (1, x(2))}, only=["gradcheck"]
    )
    assert "by input 1.b[1], entry (" in report["gradcheck"].detail


def test_function_without_float64_is_compared_in_its_own_precision():
    weight = torch.randn(3, 3)
    report = libgrad.check(lambda a: torch.tanh(a @ weight), torch.randn(2, 3), only="autograd")
    assert report.ok, report
    assert report["gradcheck"].status == "n/a"
    assert "fn takes no float64: RuntimeError: " in report["gradcheck"].detail
    assert "compared in low precision" in report["double backward"].detail


def test_wrong_gradient_is_caught_in_single_precision_too():
    weight = torch.randn(3, 3)

    def f(a):
        return (a @ weight).sin() + 0.1 * (a @ weight).detach().sin()

    report = libgrad.check(f, torch.randn(2, 3), only="autograd")
    assert statuses(report)["backward"] == "wrong"
    assert "derivative of output 0, entry (" in report["backward"].detail


def test_integers_alone_have_nothing_to_differentiate():
    report = libgrad.check(lambda i: i + 1, torch.arange(3), skip=QUICK)
    assert report.ok
    assert report["vmap"].status == "ok"
    assert report["backward"].detail == "no input is a floating-point or complex tensor"


def test_large_inputs_leave_out_what_is_made_row_by_row():
    report = libgrad.check(torch.tanh, x(40, 40), only=["gradcheck", "jacrev", "grad", "vmap"])
    assert statuses(report) == {"gradcheck": "n/a", "grad": "ok", "jacrev": "n/a", "vmap": "ok"}
    assert report["jacrev"].detail == "in- and outputs have 3200 entries; this row runs up to 512"


def test_straight_through_estimator_is_checked_for_consistency_alone():
    report = libgrad.check(Round.apply, x(3), exact=False, skip=QUICK)
    assert {row.name for row in report.failed} <= NESTED_FORWARD, report
    for name in ("gradcheck", "gradcheck fast", "gradgradcheck"):
        assert report[name].status == "n/a"
        assert report[name].detail.startswith("exact=False: the gradient is defined by backward")
    assert report["grad"].status == report["forward mode"].status == "ok"
    assert libgrad.check(Round.apply, x(3), only="backward")["backward"].status == "wrong"


def test_constant_that_a_function_made_and_saved_is_no_reason_to_complain():
    report = libgrad.check(SavesConstant.apply, x(3), only=["double backward", "gradgradcheck"])
    assert report.ok, report


def test_reference_is_compared_with():
    report = libgrad.check(
        Cube.apply, x(3), reference=lambda a: a**3, only=["autograd", "empty inputs"]
    )
    assert report.ok, report
    assert report["forward"].detail == "float64 [3], as the reference"
    for name in ("backward", "double backward", "third order"):
        assert report[name].detail == "as the reference"


def test_another_reference_is_wrong_from_values_to_the_third_order():
    report = libgrad.check(Cube.apply, x(3), reference=lambda a: a**3 + a.exp(), only="autograd")
    for name in ("forward", "backward", "double backward", "third order"):
        assert report[name].status == "wrong", report[name]
        assert report[name].detail.count("expected") == 1


def test_modification_that_is_declared_is_right():
    report = libgrad.check(lambda a: a.mul_(2) * a, x(3), mutates=[0], skip=QUICK)
    assert report.ok, report
    assert report["inputs unmodified"].detail == "but input 0, as declared"


def test_modules_are_copied():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    before = {name: t.clone() for name, t in module.state_dict().items()}
    report = libgrad.check(
        module, torch.randn(4, 3), only=["gradcheck fast", "checkpoint reentrant"]
    )
    assert report["gradcheck fast"].status == "ok", report
    assert report.title.startswith("Sequential(")
    assert all(p.grad is None for p in module.parameters())
    for name, t in module.state_dict().items():
        assert torch.equal(t, before[name]), name


def test_members_of_a_batch_stay_where_the_function_is_defined():
    matrix = torch.tensor([[2.0, 1.99], [1.99, 2.0]]).double()

    def f(a):
        return torch.linalg.cholesky((a + a.mT) / 2)

    report = libgrad.check(f, matrix, only="batch")
    assert report.ok, report


def test_floats_that_are_codes_are_no_obstacle():
    target = torch.tensor([1.0, -1.0]).double()
    report = libgrad.check(
        torch.nn.functional.cosine_embedding_loss, x(2, 3), x(2, 3), target, only="autograd"
    )
    assert report.ok, report
    assert report["backward"].detail == "no gradient for input 2"


def test_half_precision_without_float64_is_compared_between_modes_alone():
    weight = torch.randn(2, 2, dtype=torch.bfloat16)
    report = libgrad.check(lambda a: a @ weight, torch.ones(2, 2).bfloat16(), only="autograd")
    assert report["backward"].status == "ok", report
    assert report["backward"].detail.startswith("not compared with numbers: too few digits for ")


def test_slow_loop_of_vmap_is_mentioned():
    def f(a):
        return torch.nn.functional.multi_margin_loss(a, torch.tensor([0, 1]))

    report = libgrad.check(f, x(2, 3), only="vmap(grad)")
    assert report["vmap(grad)"].detail == "an operator has no batching rule: a slow loop"


def test_nothing_of_the_callers_is_changed():
    inputs = [x(3), x(3, requires_grad=True)]
    before = [t.clone() for t in inputs]
    random, filters = torch.get_rng_state(), list(warnings.filters)

    def f(a, b):
        warnings.warn("loud", stacklevel=1)
        torch.rand(3)
        return a * b

    with torch.no_grad():
        report = libgrad.check(f, *inputs, skip=QUICK)
        assert not torch.is_grad_enabled()
    assert report["backward"].status == report["threads"].status == "ok", report
    assert torch.equal(torch.get_rng_state(), random)
    assert warnings.filters == filters
    assert logging.root.manager.disable == 0
    for t, old, wants in zip(inputs, before, (False, True), strict=True):
        assert torch.equal(t, old)
        assert t._version == 0
        assert t.grad is None
        assert t.requires_grad is wants


def test_runs_in_inference_mode_and_on_its_tensors():
    with torch.inference_mode():
        report = libgrad.check(Cube.apply, x(3), only=["autograd", "func"])
    assert {row.name for row in report.failed} <= NESTED_FORWARD, report


def test_same_seed_gives_the_same_report():
    one, two, other = (
        libgrad.check(lambda a: a.detach() * a, torch.ones(3), only="gradgradcheck", seed=seed)
        for seed in (3, 3, 4)
    )
    assert one["gradgradcheck"].detail == two["gradgradcheck"].detail
    assert one["gradgradcheck"].status == other["gradgradcheck"].status == "wrong"


def test_numbers_that_look_alike_are_printed_in_full():
    report = libgrad.check(
        lambda a: a if a.is_contiguous() else a + 1e-6, torch.ones(2).double(), only="inputs"
    )
    detail = report["non-contiguous inputs"].detail
    assert "got 1.000001, expected 1.0, off by 1e-06" in detail


def test_output_of_lower_precision_is_compared_in_it():
    f = lambda a: a.float() * a.float()
    report = libgrad.check(f, x(3), only=["autograd", "func", "batch"])
    assert report.ok, report
    assert report["gradcheck"].detail == "an output of float64 inputs is float32 [3]"


@pytest.mark.parametrize(
    ("fn", "title"),
    [
        (torch.sin, "sin(float32 [])"),
        (torch.ops.aten.sin.default, "sin.default(float32 [])"),
        (Cube.apply, "Cube.apply(float32 [])"),
        (torch.nn.ReLU(), "ReLU(float32 [])"),
        (torch.ones(()).mul, "mul(float32 [])"),
        (torch.nn.ReLU().forward, "ReLU.forward(float32 [])"),
        (libgrad._C._demo.swish, "swish(float32 [])"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_title_names_the_function(fn, title):
    assert libgrad.check(fn, torch.ones(()), only=[], skip=[]).title == title


def test_tolerances_can_be_given():
    def f(a):
        return a * 2 if a.is_contiguous() else a * (2 + 1e-5)

    only = "non-contiguous inputs"
    inputs = x(3, 3)
    assert not libgrad.check(f, inputs, only=only)
    assert libgrad.check(f, inputs, only=only, rtol=1e-3)
    assert libgrad.check(f, inputs, only=only, rtol=0, atol=1e-2)

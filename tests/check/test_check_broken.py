"""`check` on functions that are broken in one way each: the right row says so, and why."""

from __future__ import annotations

import pytest
import torch
from check import check_functions as broken
from support import consumer

import libgrad
from libgrad._check.rows import around as rows_around

GENERATOR = torch.Generator().manual_seed(1)


def x(*shape: int, **options: object) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR, **{"dtype": torch.double, **options})


# What is called, on what, the rows that must say "wrong" or "error", and what they say.
CASES = {
    "wrong gradient": (
        broken.WrongGradient.apply,
        (torch.tensor([1.0, 2.0]).double(), torch.tensor([3.0, 4.0]).double()),
        dict.fromkeys(
            ("backward", "gradcheck", "gradcheck fast"),
            "wrong: derivative of output 0, entry (1,) by input 1, entry (1,): got 8, expected 16",
        ),
    ),
    "gradient of None": (
        broken.NoGradient.apply,
        (x(3), x(3)),
        {
            "backward": "wrong: derivative of output 0, entry (0,) by input 1, entry (0,): got 0, ",
            "gradcheck": "wrong: derivative of output 0, entry (0,) by input 1, entry (0,): got 0",
        },
    ),
    "detached": (
        broken.through_numpy,
        (x(3),),
        {
            "backward": "wrong: output 0 does not require grad, but changes with the inputs",
            "vmap": "error: RuntimeError: ",
        },
    ),
    "one output detached": (
        broken.leaves_out_a_gradient,
        (x(3),),
        {"non-differentiable outputs": "wrong: output 1 does not require grad, but changes with "},
    ),
    "wrong third derivative": (
        broken.WrongThird.apply,
        (x(3),),
        {
            "double backward": "ok: ",
            "gradgradcheck": "ok: ",
            "third order": "wrong: gradient of input 0, entry (",
        },
    ),
    "wrong jvp": (
        broken.WrongJvp.apply,
        (x(3),),
        {
            "backward": "ok: ",
            "grad": "ok: ",
            "forward mode": "wrong: tangent of output 0, entry (",
            "jvp": "wrong: tangent of output 0, entry (",
            "linearize": "wrong: tangent of output 0, entry (",
            "jacfwd": "wrong: derivative of output 0, entry (",
        },
    ),
    "wrong vmap": (
        broken.WrongVmap.apply,
        (x(3), x(3)),
        {
            "backward": "ok: ",
            "vmap": "wrong: output 0 (first index: batch), entry (",
            "vmap in_dims=-1": "wrong: output 0 (first index: batch)",
            "vmap of some inputs": "wrong: output 0 with only input ",
        },
    ),
    "strided input": (
        broken.AssumesContiguous.apply,
        (x(3, 2),),
        {"non-contiguous inputs": "wrong: output 0 for inputs that are strided, entry ("},
    ),
    "strided gradient": (
        broken.AssumesContiguousGradient.apply,
        (x(3, 2),),
        {
            "non-contiguous inputs": "wrong: gradient of input 0 for incoming gradients that are "
            "strided, entry ("
        },
    ),
    "empty": (
        broken.no_empty,
        (x(3),),
        {"empty inputs": "error: RuntimeError: invalid configuration argument"},
    ),
    "single precision": (
        broken.KeepsInSinglePrecision.apply,
        (x(3),),
        {"dtypes": "wrong: output 0 of float64 inputs is float32 [3]; when that is meant, skip"},
    ),
    "some gradients": (
        broken.WrongWhenPartial.apply,
        (x(3), x(3)),
        {
            "backward": "ok: ",
            "some inputs require grad": "wrong: gradient of input 1 when only input 1 requires "
            "grad, entry (",
        },
    ),
    "silent writer": (
        broken.silent_writer,
        (x(3),),
        {"inputs unmodified": "wrong: input 0 is written to without its version counter, so that"},
    ),
    "loud writer": (
        broken.loud_writer,
        (x(3),),
        {
            "inputs unmodified": "wrong: input 0 is modified in place (version 0 to 1); when that "
            "is meant, say mutates=(0,)",
            "backward": "error: RuntimeError: a leaf Variable that requires grad is being used in",
        },
    ),
    "writer to gradients": (
        broken.SmashesGradient.apply,
        (x(3),),
        {"inputs unmodified": "wrong: the gradient that comes in at output 0 is modified by back"},
    ),
    "moody": (
        broken.moody,
        (x(3),),
        {"determinism": "wrong: output 0 in another run, entry ("},
    ),
    "dropout": (
        torch.nn.functional.dropout,
        (torch.ones(20),),
        {"determinism": "the same after torch.manual_seed: it draws random numbers"},
    ),
    "pinned": (
        broken.PinsStorage.apply,
        (x(3),),
        {
            "saved-tensor hooks": "error: RuntimeError: the saved tensor has moved",
            "checkpoint reentrant": "ok: ",
        },
    ),
    "bfloat16": (
        lambda a, b: broken.NoBfloat16.apply(a @ b),
        (x(2, 2), x(2, 2)),
        {"autocast": "error: TypeError: no kernel for bfloat16"},
    ),
    "threads": (
        broken.shares_a_buffer,
        (x(3),),
        {"determinism": "ok: ", "threads": "wrong: gradient of input 0 in thread "},
    ),
    "data dependent": (
        broken.breaks_the_graph,
        (x(3),),
        {
            "vmap": "error: RuntimeError: vmap: It looks like you're ",
            "fake tensors": "error: DataDependentOutputException: ",
            "export": "error: GuardOnDataDependentSymNode: ",
        },
    ),
    "always": (
        lambda a: 1 / 0,
        (x(3),),
        {
            "forward": "error: ZeroDivisionError: division by zero",
            "hessian": "error: ZeroDivisionError: division by zero",
            "threads": "error: ZeroDivisionError: division by zero",
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_broken_function_is_caught_by_its_row(name):
    fn, inputs, expected = CASES[name]
    report = libgrad.check(fn, *inputs, only=list(expected))
    assert not report.ok
    for row, text in expected.items():
        said = f"{report[row].status}: {report[row].detail}"
        assert text in said
        assert (report[row].error is None) == (report[row].status != "error")


@pytest.mark.parametrize(
    ("fn", "node", "which"),
    [
        (broken.SavesIntermediate.apply, "SavesIntermediate", "saved tensor 1"),
        (broken.KeepsIntermediate.apply, "KeepsIntermediate", "ctx.exp"),
        (
            lambda a: broken.SavesIntermediate.apply(a.sin()).sum(0),
            "SavesIntermediate",
            "saved tensor 1",
        ),
    ],
    ids=["saved", "on ctx", "inside"],
)
def test_saved_intermediate_is_wrong_twice_and_named(fn, node, which):
    report = libgrad.check(fn, x(3, 2), only="autograd")
    assert [row.name for row in report.failed] == [
        "double backward",
        "third order",
        "gradgradcheck",
    ]
    for row in report.failed:
        assert row.status == "wrong"
        first, *reasons = row.detail.splitlines()
        assert "got " in first
        assert reasons == [
            f"{node} saves an intermediate: {which} (float64 [3, 2]) is neither an input nor an "
            "output and requires no grad, so double backward takes it for a constant; save inputs "
            "or outputs and compute it from them in backward, or return it as an output too"
        ]


def test_saved_intermediate_of_a_cpp_function_is_named(cpp_build):
    functions = consumer.load("functions", cpp_build)
    report = libgrad.check(lambda a: functions.saves_intermediate(a) * a, x(3), only="autograd")
    assert [row.name for row in report.failed] == [
        "double backward",
        "third order",
        "gradgradcheck",
    ]
    for row in report.failed:
        assert "SavesIntermediate saves an intermediate: saved tensor 1 (float64 [3])" in row.detail


def test_cpp_functions_pass_where_they_work(cpp_build):
    functions = consumer.load("functions", cpp_build)
    only = ["autograd", "inputs", "around"]
    report = libgrad.check(functions.affine, x(3), x(3), x(3), only=only)
    assert report.ok, report
    report = libgrad.check(functions.scale_, x(3), 3.0, mutates=[0], only=only)
    assert report.ok, report


def test_wrong_gradient_of_many_entries_is_caught_without_the_entry():
    report = libgrad.check(broken.WrongGradient.apply, x(40, 40), x(40, 40), only="backward")
    assert report["backward"].status == "wrong"
    assert report["backward"].detail.startswith("slope by input 1 in a random direction: ")


def test_forward_mode_that_is_silently_zero_is_wrong():
    @torch.library.custom_op("libgrad_test_check::square", mutates_args=())
    def square(a: torch.Tensor) -> torch.Tensor:
        return a * a

    square.register_fake(torch.empty_like)
    square.register_autograd(
        lambda ctx, g: g * 2 * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    square.register_vmap(lambda info, dims, a: (square(a), dims[0]))
    report = libgrad.check(square, x(3), only=["autograd", "dual", "jvp", "jacfwd", "vmap"])
    assert report["gradgradcheck"].status == report["vmap"].status == "ok"
    zero = "forward mode is not defined for an operator in fn, and nothing says so"
    for name, silent in (("forward mode", "no tangent (None)"), ("jvp", "a tangent of zeros")):
        assert report[name].status == "wrong"
        assert report[name].detail.startswith(f"output 0 has {silent}, silently; expected up to ")
        assert report[name].detail.endswith(zero)
    assert report["jacfwd"].status == "wrong"


def test_operator_whose_fake_kernel_lies_is_caught():
    @torch.library.custom_op("libgrad_test_check::liar", mutates_args=())
    def liar(a: torch.Tensor) -> torch.Tensor:
        return a * 2

    liar.register_fake(lambda a: a.new_empty(a.numel() + 1))
    report = libgrad.check(liar, x(3), only=["fake tensors", "opcheck"])
    assert report["fake tensors"].status == "wrong"
    assert report["fake tensors"].detail == (
        "output 0: got float64 [4] from fake tensors, expected float64 [3]"
    )
    assert report["opcheck"].status == "error"


def test_export_that_loses_the_gradient_is_wrong():
    report = libgrad.check(broken.Round.apply, x(3), exact=False, only="tracing")
    assert report["export"].status == "ok"
    assert report["export backward"].status == "wrong"
    assert "gradient of input 0 of the exported program" in report["export backward"].detail


def test_thread_that_never_ends_is_wrong(monkeypatch):
    monkeypatch.setattr(rows_around, "PATIENCE", 0.05)
    monkeypatch.setattr(rows_around, "THREADS", 2)
    main, door = broken.threading.main_thread(), broken.threading.Event()

    def f(a):
        if broken.threading.current_thread() is not main:
            door.wait(10)
        return a * 2

    report = libgrad.check(f, x(2), only="threads")
    door.set()
    assert report["threads"].detail == "2 of 2 threads did not end in 0.05 s"


@pytest.mark.parametrize("fn", [broken.moody, torch.nn.Dropout(), torch.nn.RReLU()])
def test_function_that_is_not_deterministic_is_asked_nothing_else(fn):
    report = libgrad.check(fn, -torch.ones(20, dtype=torch.double))
    assert [(row.name, row.status) for row in report] == [("determinism", "wrong")]
    (note,) = report.notes
    assert note.startswith("fn is not deterministic, so that no other row can tell anything")
    assert note in " ".join(str(report).split())
    others = libgrad.check(fn, x(3), only=["forward", "determinism"], skip=["determinism"])
    assert [row.name for row in others] == ["forward"]


def test_rows_are_in_their_order_though_determinism_ran_first():
    names = [row.name for row in libgrad.check(torch.sin, x(3), only=["around", "autograd"])]
    assert names.index("forward") < names.index("determinism") < names.index("threads")


def test_error_of_an_operator_without_second_derivative_says_what_has_one():
    q = torch.randn(1, 1, 4, 8)

    def attention(q):
        return torch.nn.functional.scaled_dot_product_attention(q, q, q)

    report = libgrad.check(attention, q, only=["double backward", "hessian", "jvp"])
    assert {row.status for row in report} == {"error"}
    for row in report:
        assert row.detail.splitlines()[-1].endswith(
            "sdpa_kernel(SDPBackend.MATH), which has all of them"
        )

    def by_math(q):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return attention(q)

    assert libgrad.check(by_math, q, only=["double backward", "hessian", "jvp"]).ok


def test_shape_that_depends_on_data_is_told_to_be_one():
    repeats = torch.tensor([1, 2, 1])
    report = libgrad.check(lambda t: torch.repeat_interleave(t, repeats), x(3), only="fake tensors")
    assert (
        report["fake tensors"]
        .detail.splitlines()[1]
        .startswith("the shape of a result depends on data")
    )

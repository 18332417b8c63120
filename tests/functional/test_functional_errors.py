"""libgrad.functional: what is refused, what is fallen back from, and that nothing stays behind."""

from __future__ import annotations

import re
import threading
import warnings

import pytest
import torch
from functional.test_functional import NAMES, PRODUCTS, single
from support.parity import outcome, python
from torch.autograd import functional as theirs
from torch.testing import assert_close

import libgrad
from libgrad import functional as ours

SCALAR_ERRORS = [
    ("hessian", {}),
    ("vhp", {"v": torch.ones(3)}),
    ("hvp", {"v": torch.ones(3)}),
]
WRONG = {
    "inputs": lambda f, name: f(single, (torch.randn(3), 2)),
    "no tensor": lambda f, name: f(single, None),
    "outputs": lambda f, name: f(lambda x: (x, "bar"), torch.randn(3)),
    "no function": lambda f, name: f(3, torch.randn(3)),
    "integers": lambda f, name: f(lambda x: x * 2, torch.arange(3)),
    "missing": lambda f, name: f(),
    "unknown": lambda f, name: f(single, torch.randn(3), colour=1),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_call_is_an_error_of_torchs_type(name, wrong):
    _, mine, text = outcome(lambda: WRONG[wrong](getattr(ours, name), name))
    _, torchs, _ = outcome(lambda: WRONG[wrong](getattr(theirs, name), name))
    assert mine is torchs
    assert text


@pytest.mark.parametrize("name", NAMES)
def test_integers_are_told_by_their_place(name):
    options = {"v": torch.ones(3)} if name in PRODUCTS and name != "vjp" else {}
    with pytest.raises(
        RuntimeError, match=rf"^{name}: only Tensors of .* inputs\[1\] is int64 \[3\]"
    ):
        getattr(ours, name)(lambda x, y: x * y, (torch.ones(3), torch.arange(3)), **options)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(
    "v",
    [
        (),
        (torch.ones(3), torch.ones(3)),
        torch.ones(2),
        (torch.ones(2),),
        [torch.ones(3)],
        2.0,
        None,
    ],
    ids=["empty", "two", "shape", "shape in tuple", "list", "number", "none"],
)
def test_wrong_vector_is_an_error_of_torchs_type_and_words(name, v):
    function = torch.sin if name in {"vjp", "jvp"} else lambda t: t.sin().sum()
    if name == "vjp":
        function = torch.sin
    _, mine, text = outcome(lambda: getattr(ours, name)(function, torch.randn(3), v))
    _, torchs, expected = outcome(lambda: getattr(theirs, name)(function, torch.randn(3), v))
    assert mine is torchs is not None
    assert expected in text


@pytest.mark.parametrize(("name", "options"), SCALAR_ERRORS)
@pytest.mark.parametrize(
    "function", [lambda x: (x.sum(),), lambda x: x, lambda x: (x.sum(), x.sum())]
)
def test_more_than_one_number_is_refused_where_one_is_wanted(name, options, function):
    x = torch.randn(3)
    _, mine, text = outcome(lambda: getattr(ours, name)(function, x, **options))
    _, torchs, expected = outcome(lambda: getattr(theirs, name)(function, x, **options))
    assert mine is torchs is RuntimeError
    assert expected in text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x.sum(),
        lambda x, y: x.detach().sum(),
        lambda x, y: x.sum() + y.sum(),
        lambda x, y: (x * x).sum() + y.sum(),
        lambda x, y: (x * x).sum() + (y * y).sum(),
    ],
    ids=["unused", "detached", "linear", "half linear", "square"],
)
def test_strict_refuses_what_torch_does_in_its_words(name, function, create_graph):
    x, y = (torch.randn(2, requires_grad=True) for _ in range(2))
    options = {"strict": True, "create_graph": create_graph}
    if name in PRODUCTS and name != "vjp":
        options["v"] = (torch.ones(2), torch.ones(2))
    mine = outcome(lambda: getattr(ours, name)(function, (x, y), **options))
    torchs = outcome(lambda: getattr(theirs, name)(function, (x, y), **options))
    assert mine[1] is torchs[1]
    number = re.compile(r"input \d")  # with create_graph torch's jacobian names the wrong one
    assert number.sub("input", torchs[2]) in number.sub("input", mine[2])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"strategy": "sideways"}, AssertionError, "Expected strategy"),
        ({"strategy": None}, AssertionError, "Expected strategy"),
        ({"chunk_size": 0}, ValueError, "chunk_size is 0, but must be at least 1"),
        ({"chunk_size": 1.5}, TypeError, "chunk_size must be an int or None, but it is a float"),
        ({"strict": True, "vectorize": True}, RuntimeError, "not supported together"),
        ({"strategy": "forward-mode", "vectorize": False}, NotImplementedError, "vectorize=True"),
        ({"strategy": "forward-mode", "strict": True}, RuntimeError, "not supported together"),
        ({"strategy": "forward-mode", "create_graph": True}, NotImplementedError, "create_graph"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["jacobian", "hessian"])
def test_options_that_go_wrong_are_told(name, options, error, says):
    if name == "hessian" and "strategy" in options:
        options = {**options, "outer_jacobian_strategy": options["strategy"]}
        del options["strategy"]
    with pytest.raises(error, match=re.escape(says)):
        getattr(ours, name)(lambda x: x.pow(3).sum(), torch.randn(3), **options)


def test_wrong_nests_are_told_where():
    params = {"a": torch.ones(2), "b": [torch.ones(2), None]}
    with pytest.raises(TypeError, match=r"value at \['b'\]\[1\] has type <class 'NoneType'>"):
        ours.jacobian(lambda p: p["a"], params)
    params["b"][1] = torch.ones(2)
    with pytest.raises(ValueError, match="v must be nested as what it is multiplied with, a dict"):
        ours.jvp(lambda p: p["a"], params, {"a": torch.ones(2)})
    with pytest.raises(ValueError, match="vjp: v must be nested"):
        ours.vjp(lambda p: p, params, {"a": torch.ones(2)})
    with pytest.raises(TypeError, match=r"the value at \['x'\] has type <class 'int'>"):
        ours.jacobian(lambda p: {"x": 1}, params)


class Inspecting(torch.autograd.Function):
    """A square whose backward takes no batch."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        if torch._C._functorch.is_batchedtensor(grad):
            raise RuntimeError("one row at a time, please")
        return grad * 2 * x


def test_backward_without_a_batching_rule_is_looped_and_told_once():
    x = torch.randn(3)
    with pytest.warns(UserWarning, match=r"batched backward failed \(one row at a time, please\)"):
        assert_close(ours.jacobian(Inspecting.apply, x), torch.diag(2 * x))
    assert_close(ours.jacobian(Inspecting.apply, x), torch.diag(2 * x))  # warnings are errors


class Interrupted(torch.autograd.Function):
    """Raises in backward what it is told to."""

    raises: type[BaseException] = KeyboardInterrupt
    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, grad):
        Interrupted.calls += 1
        raise Interrupted.raises("stop")


@pytest.mark.parametrize("strategy", ["reverse-mode", "double-reverse", "forward-mode"])
@pytest.mark.parametrize("raises", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_exceptions_of_a_backward_arrive(raises, strategy):
    Interrupted.raises, Interrupted.calls = raises, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that batches are given up
        with pytest.raises(raises, match="stop"):
            ours.jacobian(Interrupted.apply, torch.randn(2), strategy=strategy)
    assert raises is ZeroDivisionError or Interrupted.calls == 1
    assert_close(ours.jacobian(torch.sin, torch.zeros(2)), torch.eye(2))


@pytest.mark.parametrize("name", NAMES)
def test_exceptions_of_the_function_arrive_with_their_traceback(name):
    def fails(x):
        raise LookupError("inside")

    options = {"v": torch.ones(2)} if name in PRODUCTS else {}
    with pytest.raises(LookupError, match="inside") as caught:
        getattr(ours, name)(fails, torch.randn(2), **options)
    assert caught.traceback[-1].name == "fails"


def test_check_finds_the_batching_rule_that_is_wrong():
    class Lying(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return grad * (3 if torch._C._functorch.is_batchedtensor(grad) else 1)

    x = torch.randn(3)
    assert_close(ours.jacobian(Lying.apply, x), 3 * torch.eye(3))
    with pytest.raises(RuntimeError, match=r"jacobian: check=True found a wrong matrix: .*input 0"):
        ours.jacobian(Lying.apply, x, check=True)
    assert_close(ours.jacobian(Lying.apply, x, vectorize=False, check=True), torch.eye(3))


@pytest.mark.parametrize("transform", ["vmap", "grad", "jvp"])
@pytest.mark.parametrize("name", [*NAMES, "value_and_grad"])
def test_inside_a_transform_of_torch_func_it_is_refused(name, transform):
    scalar = name in {"vhp", "hvp", "hessian", "value_and_grad"}
    options = {"v": torch.ones(3)} if name in PRODUCTS else {}

    def inner(x):
        function = (lambda t: t.sin().sum()) if scalar else torch.sin
        getattr(ours, name)(function, x, **options)
        return x.sum()

    run = {
        "vmap": lambda: torch.func.vmap(inner)(torch.randn(2, 3)),
        "grad": lambda: torch.func.grad(inner)(torch.randn(3)),
        "jvp": lambda: torch.func.jvp(inner, (torch.randn(3),), (torch.randn(3),)),
    }[transform]
    with pytest.raises(RuntimeError, match=rf"{name}: called inside a transform of torch\.func"):
        run()


def test_inference_mode_is_refused():
    with torch.inference_mode(), pytest.raises(RuntimeError, match="under inference_mode"):
        ours.jacobian(torch.sin, torch.randn(2))


def test_many_threads_differentiate_at_once():
    x = torch.randn(6, 3, dtype=torch.float64)
    expected = [theirs.jacobian(single, row) for row in x]
    results: dict[int, torch.Tensor] = {}

    def work(i):
        for _ in range(20):
            results[i] = ours.jacobian(single, x[i])
            ours.hessian(lambda t: single(t).sum(), x[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_close([results[i] for i in range(6)], expected)


def test_derivatives_nest():
    x = torch.randn(3, dtype=torch.float64)

    def inner(t):
        return ours.jacobian(lambda s: s.pow(3), t, create_graph=True).sum(0)

    assert_close(ours.jacobian(inner, x), torch.diag(6 * x))


def test_a_hook_may_differentiate_something_else():
    x = torch.randn(3)

    def f(t):
        y = t * t
        y.register_hook(lambda g: g + 0 * libgrad.grad(loss, other, retain_graph=True)[0].sum())
        return y

    other = torch.randn(2, requires_grad=True)
    loss = other.sin().sum()
    assert_close(ours.jacobian(f, x), torch.diag(2 * x))


def test_interpreter_ends_while_graphs_are_alive():
    python(
        "x = torch.ones(3, requires_grad=True)\n"
        "j = libgrad.functional.jacobian(lambda t: t * t, x, create_graph=True)\n"
    )


@pytest.mark.parametrize("name", ["jacobian", "hessian"])
def test_numbers_that_are_not_there_are_not_checked(name):
    x = torch.ones(3, device="meta")
    call = getattr(ours, name)
    assert call(lambda t: t.exp().sum(), x).device.type == "meta"
    with pytest.raises(NotImplementedError, match=rf"^{name}: check=True compares numbers"):
        call(lambda t: t.exp().sum(), x, check=True)

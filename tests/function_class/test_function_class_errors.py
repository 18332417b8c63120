"""Misuse of libgrad.Function: the type that torch raises, and at least what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from function_class.function_classes import BASES, function
from support.parity import outcome

import libgrad

X = torch.ones(2, requires_grad=True)


def forward(body: Callable[[Any, torch.Tensor], Any]) -> Callable[[Any], Any]:
    def run(base):
        f = function(lambda ctx, x: (body(ctx, x), x * 1)[1], base=base)
        return f.apply(X * 1)

    return run


def backward(*gradients: Any, inputs: tuple[Any, ...] = ()) -> Callable[[Any], Any]:
    def run(base):
        f = function(lambda ctx, *args: args[0] * 1, lambda ctx, g: gradients, base=base)
        return torch.autograd.grad(f.apply(X, *inputs).sum(), X)

    return run


class Custom(Exception):
    """With arguments that a copy of it could lose."""


def fails(*args: Any) -> None:
    raise Custom("mine", 7)


CASES = {
    "too many gradients": backward(X, X),
    "too few gradients": backward(X, inputs=(X,)),
    "None beyond the inputs is fine": backward(X.detach(), None, None),
    "a gradient for a number": backward(X, X, inputs=(3,)),
    "a gradient that is no tensor": backward("g"),
    "a gradient of the wrong shape": backward(torch.ones(3)),
    "no forward": lambda base: base.apply(X),
    "no backward": lambda base: torch.autograd.grad(
        function(lambda ctx, x: x * 1, base.backward, base=base).apply(X).sum(), X
    ),
    "backward and vjp": lambda base: torch.autograd.grad(
        function(lambda ctx, x: x * 1, base=base, vjp=lambda ctx, g: g).apply(X).sum(), X
    ),
    "save a number": forward(lambda ctx, x: ctx.save_for_backward(x, 3)),
    "save None": forward(lambda ctx, x: ctx.save_for_backward(x, None)),
    "save for jvp a number": forward(lambda ctx, x: ctx.save_for_forward(3)),
    "a number is dirty": forward(lambda ctx, x: ctx.mark_dirty(3)),
    "an input that is not returned is dirty": forward(lambda ctx, x: ctx.mark_dirty(x)),
    "a stranger is dirty": forward(lambda ctx, x: ctx.mark_dirty(x.clone())),
    "a number is not differentiable": forward(lambda ctx, x: ctx.mark_non_differentiable(3)),
    "materialize 3": forward(lambda ctx, x: ctx.set_materialize_grads(3)),
    "ctx.to_save = 3": forward(lambda ctx, x: setattr(ctx, "to_save", 3)),
    "an attribute that is not there": forward(lambda ctx, x: ctx.nothing),
    "too many arguments": lambda base: function(lambda ctx, x: x, base=base).apply(X, X),
    "too many arguments for setup_context": lambda base: function(
        lambda x: x, base=base, setup_context=lambda ctx, i, o: None
    ).apply(X, X),
    "an unknown name": lambda base: function(lambda ctx, x: x, base=base).apply(X, y=X),
    "a name given twice": lambda base: function(lambda ctx, x: x, base=base).apply(X, x=X),
    "a name that is keyword-only": lambda base: function(lambda ctx, x, *, k: x, base=base).apply(
        X, k=3
    ),
    "an input returned and saved by setup_context": lambda base: function(
        lambda x: x, base=base, setup_context=lambda ctx, i, o: ctx.save_for_backward(i[0])
    ).apply(X),
    "an instance called": lambda base: function(lambda ctx, x: x, base=base).__call__(None),
    "a flag that is no bool": lambda base: function(
        lambda ctx, x: x, base=base, clear_saved_tensors_on_access=3
    ).apply(X),
    "forward raises": forward(fails),
    "setup_context raises": lambda base: function(
        lambda x: x * 1, base=base, setup_context=fails
    ).apply(X),
    "backward raises": lambda base: torch.autograd.grad(
        function(lambda ctx, x: x * 1, fails, base=base).apply(X).sum(), X
    ),
}
OUR_WORDS = {  # torch's end in nothing, or speak of its C++
    "a number is dirty": "argument 0 is of type int",
    "a number is not differentiable": "argument 0 is of type int",
    "save for jvp a number": "argument 0 is of type int",
    "materialize 3": "got int, but expected (bool)",
    "ctx.to_save = 3": "save_for_backward needs tensors, got int",
    "an unknown name": "unexpected keyword argument 'y'",
    "a name given twice": "multiple values for argument 'x'",
    "a name that is keyword-only": "takes k by keyword only",
}


@pytest.mark.parametrize("case", CASES)
def test_misuse_raises_what_torch_raises(case: str) -> None:
    result, error, message = outcome(lambda: CASES[case](BASES["libgrad"]))
    expected, expected_error, expected_message = outcome(lambda: CASES[case](BASES["torch"]))
    assert error is expected_error
    assert (result is None) == (expected is None)
    if case in OUR_WORDS:
        assert OUR_WORDS[case] in message
    else:
        assert message.split("\n")[0] == expected_message.split("\n")[0]


def test_an_instance_is_warned_of_and_cannot_be_called() -> None:
    f = function(lambda ctx, x: x)
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        instance = f()
    with pytest.raises(RuntimeError, match="Legacy autograd function"):
        instance(X)


@pytest.mark.parametrize("run", [torch.autograd.grad, libgrad.grad])
def test_an_exception_keeps_arguments_and_traceback(run: Callable[..., Any]) -> None:
    y = function(lambda ctx, x: x * 1, fails).apply(X).sum()
    with pytest.raises(Custom) as caught:
        run(y, X)
    assert caught.value.args == ("mine", 7)
    assert caught.traceback[-1].name == "fails"


def test_a_failed_forward_leaves_modes_as_they_were() -> None:
    with pytest.raises(Custom):
        function(fails).apply(X)
    assert torch.is_grad_enabled()
    assert function(lambda ctx, x: x * 2).apply(X).requires_grad

"""detect_anomaly: the forward operation behind a backward that fails, for the whole process."""

from __future__ import annotations

import asyncio
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import libgrad

OFF, ON, ON_WITHOUT_NAN = (False, True), (True, True), (True, False)
ENABLED = "Anomaly Detection has been enabled"


@pytest.fixture(autouse=True)
def _as_found() -> Iterator[None]:
    before = anomaly()
    yield
    assert anomaly() == before == OFF


def anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def quietly(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Make a mode without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **kwargs)


def nan() -> torch.Tensor:
    """Return a number whose backward is not one."""
    return torch.tensor(0.0, requires_grad=True).sqrt() * 0


def caught(detect: Callable[..., Any], function: Callable[[], Any], **options: Any) -> Any:
    """Return the type and text of the error, if any, and the warnings' texts without lines."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            with detect(**options):
                function()
            error = None
        except Exception as raised:
            error = (type(raised), str(raised))
    return error, [re.sub(r"line \d+", "line", str(w.message)) for w in found]


def fail_in_backward() -> None:
    class Fail(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            raise KeyError("backward")

    Fail.apply(torch.ones(1, requires_grad=True)).backward()


@pytest.mark.parametrize("check_nan", [True, False])
@pytest.mark.parametrize(
    "function", [lambda: nan().backward(), fail_in_backward], ids=["nan", "KeyError"]
)
def test_failure_is_reported_as_by_torch(function, check_nan):
    ours, theirs = (  # from one line, since the warning shows the lines of the forward
        caught(detect, function, check_nan=check_nan)
        for detect in (libgrad.detect_anomaly, torch.autograd.detect_anomaly)
    )
    assert ours == theirs
    nan_is_fine = function is not fail_in_backward and not check_nan
    assert (ours[0] is None) == nan_is_fine


def test_warning_names_the_line_of_the_forward():
    def make():
        return nan()  # the culprit

    error, texts = caught(libgrad.detect_anomaly, lambda: libgrad.backward(make()))
    assert error == (
        RuntimeError,
        "Function 'SqrtBackward0' returned nan values in its 0th output.",
    )
    assert any("return nan()  # the culprit" in text for text in texts)


def test_it_warns_once_where_it_is_made_and_in_torchs_words():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        detect = libgrad.detect_anomaly()
        for _ in range(2):
            with detect:
                pass
        with torch.autograd.detect_anomaly():
            pass
    ours, theirs = found
    assert str(ours.message) == str(theirs.message)
    assert ours.category is theirs.category is UserWarning
    assert ours.filename == theirs.filename == __file__
    with pytest.warns(UserWarning, match=ENABLED):
        libgrad.detect_anomaly()(nan)


def test_nested_modes_restore_both_settings_also_among_torchs():
    seen = []
    with quietly(libgrad.detect_anomaly):
        seen.append(anomaly())
        with quietly(torch.autograd.detect_anomaly, check_nan=False):
            seen.append(anomaly())
            with quietly(libgrad.detect_anomaly, True):
                seen.append(anomaly())
            seen.append(anomaly())
            with torch.autograd.set_detect_anomaly(False), quietly(libgrad.detect_anomaly, False):
                seen.append(anomaly())
            seen.append(anomaly())
        seen.append(anomaly())
    assert seen == [ON, ON_WITHOUT_NAN, ON, ON_WITHOUT_NAN, ON_WITHOUT_NAN, ON_WITHOUT_NAN, ON]


def test_object_can_be_used_again_and_inside_itself():
    detect = quietly(libgrad.detect_anomaly, check_nan=False)
    for _ in range(2):
        with detect:
            with detect:
                assert anomaly() == ON_WITHOUT_NAN
            assert anomaly() == ON_WITHOUT_NAN
        assert anomaly() == OFF


def test_error_restores_it():
    for error in (ValueError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error), quietly(libgrad.detect_anomaly):
            raise error
        assert anomaly() == OFF


def test_it_holds_in_all_threads_as_torchs():
    for detect in (libgrad.detect_anomaly, torch.autograd.detect_anomaly):
        seen = []
        with quietly(detect):
            thread = threading.Thread(target=lambda: seen.append(anomaly()))
            thread.start()
            thread.join()
        assert seen == [ON]


def test_functions_generators_and_coroutines_can_be_decorated():
    detect = quietly(libgrad.detect_anomaly, check_nan=False)

    @detect
    def function(a, *, b):
        return a, b, anomaly()

    @detect
    def generator():
        yield anomaly()
        yield anomaly()

    @detect
    async def coroutine():
        await asyncio.sleep(0)
        return anomaly()

    @detect
    async def async_generator():
        yield anomaly()

    async def main():
        item = [(item, anomaly()) async for item in async_generator()]
        return await coroutine(), anomaly(), item

    assert function(1, b=2) == (1, 2, ON_WITHOUT_NAN)
    assert [(item, anomaly()) for item in generator()] == [(ON_WITHOUT_NAN, OFF)] * 2
    assert asyncio.run(main()) == (ON_WITHOUT_NAN, OFF, [(ON_WITHOUT_NAN, OFF)])
    assert function.__name__ == "function"


def test_decorated_function_finds_the_nan():
    @quietly(libgrad.detect_anomaly)
    def step():
        libgrad.backward(nan())

    with (
        pytest.warns(UserWarning, match="Error detected in SqrtBackward0"),
        pytest.raises(RuntimeError, match=r"SqrtBackward0.*nan"),
    ):
        step()


@pytest.mark.parametrize("wrong", [1, None, "True", nan])
def test_wrong_arguments_are_type_errors_as_torchs(wrong):
    for detect in (libgrad.detect_anomaly, torch.autograd.detect_anomaly):
        with pytest.raises(TypeError, match=r"check_nan.* must be bool"), quietly(detect, wrong):
            pass
    with pytest.raises(TypeError):
        libgrad.detect_anomaly(True, True)


def test_forgotten_parentheses_are_pointed_out():
    with pytest.raises(TypeError, match=r"write @detect_anomaly\(\.\.\.\)"):
        libgrad.detect_anomaly(nan)


def test_class_is_refused():
    with pytest.raises(TypeError, match="cannot decorate the class dict"):
        quietly(libgrad.detect_anomaly)(dict)

"""no_grad, enable_grad, set_grad_enabled and inference_mode as decorators of functions."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support.modes import MODES, NO_GRAD, PLAIN, each_mode, each_outside, made, state, unchanged

import libgrad

WITHOUT_PARENTHESES = ("no_grad", "enable_grad", "inference_mode")


@each_outside
@each_mode
def test_decorated_function_computes_as_torchs_and_restores(ours, theirs, outside):
    traces = []
    for mode in (ours, theirs):
        with outside(), unchanged():
            decorated = mode()(made)
            traces.append((state(), decorated(), state(), decorated()))
    assert traces[0] == traces[1]


@pytest.mark.parametrize("name", WITHOUT_PARENTHESES)
def test_decorator_needs_no_parentheses(name):
    with torch.no_grad() if name == "enable_grad" else contextlib.nullcontext(), unchanged():
        with MODES[name][0]():
            inside = made()
        for mode in (getattr(libgrad, name), getattr(torch, name)):
            assert mode(made)() == mode()(made)() == inside != made()


def test_decorated_function_may_recurse():
    @libgrad.no_grad()
    def down(n):
        with torch.enable_grad():
            assert state() == PLAIN
            below = down(n - 1) if n else []
        return [state(), *below]

    with unchanged():
        assert down(5) == [NO_GRAD] * 6


@each_mode
def test_methods_of_every_kind_can_be_decorated(ours, theirs):
    class Model:
        scale = 3

        @ours()
        def plain(self, a, *, b=1):
            return self.scale, a, b, state()

        @classmethod
        @ours()
        def of_class(cls, a):
            return cls.scale, a, state()

        @staticmethod
        @ours()
        def static(a):
            return a, state()

        @property
        @ours()
        def value(self):
            return self.scale, state()

    inside = theirs()(state)()
    torch.set_grad_enabled(True)
    model = Model()
    with unchanged():
        assert model.plain(1, b=2) == Model.plain(model, 1, b=2) == (3, 1, 2, inside)
        assert model.of_class(4) == Model.of_class(4) == (3, 4, inside)
        assert model.static(5) == Model.static(5) == (5, inside)
        assert model.value == (3, inside)


def test_callables_that_are_no_functions_can_be_decorated():
    class Callable_:
        def __call__(self, a):
            return a, state()

    for function in (Callable_(), functools.partial(Callable_(), 1)):
        decorated = libgrad.no_grad(function)
        result = decorated() if isinstance(function, functools.partial) else decorated(1)
        assert result == (1, NO_GRAD)
    assert not libgrad.no_grad(torch.sin)(torch.ones(1, requires_grad=True)).requires_grad


@each_mode
def test_decorated_function_keeps_its_metadata(ours, theirs):
    def original(a: int, b: str = "b", *c: float, d: bool = True) -> None:
        """What it does."""

    original.mark = "kept"
    with unchanged():
        decorated = ours()(original)
        assert decorated is not original
        for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
            assert getattr(decorated, name) == getattr(original, name)
        assert decorated.mark == "kept"
        assert decorated.__wrapped__ is original
        assert inspect.signature(decorated) == inspect.signature(original)


@each_mode
def test_decorated_function_runs_in_many_threads_at_once(ours, theirs):
    together = threading.Barrier(4, timeout=30)

    @ours()
    def inside():
        together.wait()
        seen = state()
        together.wait()
        return seen

    torch.set_grad_enabled(True)
    expected = theirs()(state)()
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(lambda: (state(), inside(), state())) for _ in range(4)]
        assert [run.result() for run in runs] == [(PLAIN, expected, PLAIN)] * 4
    torch.set_grad_enabled(True)


@each_mode
def test_class_is_refused_and_told_what_to_decorate(ours, theirs):
    class Model:
        pass

    with torch.set_grad_enabled(True), pytest.raises(TypeError, match=r"class Model.*methods"):
        ours()(Model)


@pytest.mark.parametrize("name", WITHOUT_PARENTHESES)
def test_class_is_refused_without_parentheses_too(name):
    with unchanged(), pytest.raises(TypeError, match="cannot decorate the class dict"):
        getattr(libgrad, name)(dict)


@pytest.mark.parametrize("wrong", [5, "function", torch.ones(1), classmethod(state)])
@each_mode
def test_what_cannot_be_called_is_refused_with_its_type(ours, theirs, wrong):
    with torch.set_grad_enabled(True):
        mode = ours()
        with pytest.raises(TypeError, match=f"function.*{type(wrong).__name__}"):
            mode(wrong)


def test_leaves_made_without_recording_still_require_grad_when_asked():
    @libgrad.no_grad
    def leaves():
        return torch.ones(2, requires_grad=True), torch.nn.Parameter(torch.ones(2))

    assert [leaf.requires_grad for leaf in leaves()] == [True, True]


def test_gradients_are_found_inside_no_grad():
    x = torch.tensor(3.0, requires_grad=True)
    y = x * x

    @libgrad.no_grad
    def gradient():
        return libgrad.grad(y, x)[0]

    assert gradient() == 6

"""`checkpoint` as a decorator, beside torch's where torch has one."""

from __future__ import annotations

import abc
import copy
import enum
import functools
import inspect
import pickle
import threading

import pytest
import torch
import torch.utils.checkpoint as theirs
from memory.test_checkpoint import Counted, grad, leaf
from torch import nn

import libgrad

TORCH_DECORATES = "_CheckpointedFunction" in dir(theirs)
BOTH = [
    pytest.param(libgrad.checkpoint, id="libgrad"),
    pytest.param(
        functools.partial(theirs.checkpoint, use_reentrant=False),
        id="torch",
        marks=pytest.mark.skipif(not TORCH_DECORATES, reason="this torch has no decorator"),
    ),
]
both = pytest.mark.parametrize("checkpoint", BOTH)


def exp_sin(x, scale=1.0):
    """Return what is saved twice."""
    return (x.exp() * scale).sin()


named = libgrad.checkpoint()(exp_sin)  # by another name than its function's
renamed = libgrad.checkpoint(early_stop=False, determinism_check="none")


def classes(checkpoint):
    """A class with methods of every kind, and what each is to return for leaf()."""

    class Methods:
        def __init__(self):
            self.factor = 3

        @checkpoint()
        def plain(self, x, power=2):
            """Documented."""
            return (x * self.factor) ** power

        @classmethod
        @checkpoint()
        def of_class(cls, x):
            return (cls.__name__, x.exp())[1]

        @staticmethod
        @checkpoint()
        def of_none(x):
            return x.exp()

        @checkpoint()
        @staticmethod
        def of_none_within(x):
            return x.exp()

        @checkpoint()
        @classmethod
        def of_class_within(cls, x):
            return (cls.__name__, x.exp())[1]

    return Methods


@libgrad.checkpoint(early_stop=False)
def decorated_here(x):
    return x.exp().sin()


class Layer(nn.Linear):
    """Its forward is decorated, and calls methods of each kind that are."""

    @libgrad.checkpoint()
    def forward(self, x):
        return self.scaled(self.of_layer(self.of_none(x)), factor=2)

    @libgrad.checkpoint()
    def scaled(self, x, *, factor):
        return nn.functional.linear(x, self.weight) * factor

    @libgrad.checkpoint()
    @classmethod
    def of_layer(cls, x):
        return x.sin()

    @libgrad.checkpoint()
    @staticmethod
    def of_none(x):
        return x.exp()


@both
def test_a_decorated_function_keeps_its_inputs_alone(checkpoint):
    x, function = leaf(), Counted()
    y = checkpoint()(function)(x, scale=2)
    assert [s.nbytes for s in libgrad.graph(y).saved if s.field == "checkpoint.args"] == [16]
    assert torch.equal(grad(y, x), grad(function(x, scale=2), x))
    assert function.runs == 3


@both
def test_it_has_the_name_and_the_signature_of_its_function(checkpoint):
    decorated = checkpoint()(exp_sin)
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        assert getattr(decorated, name) == getattr(exp_sin, name)
    assert decorated.__wrapped__ is exp_sin
    assert inspect.signature(decorated) == inspect.signature(exp_sin)
    method = classes(checkpoint)().plain
    assert str(inspect.signature(method)) == "(x, power=2)"
    assert (method.__name__, method.__doc__) == ("plain", "Documented.")


@both
def test_it_binds_as_a_method(checkpoint):
    cls = classes(checkpoint)
    instance, x = cls(), leaf()
    results = {
        (instance.plain, (x,), 3): (x * 3) ** 3,
        (functools.partial(cls.plain, instance), (x,), 3): (x * 3) ** 3,
    }
    for (method, args, power), expected in results.items():
        assert torch.equal(grad(method(*args, power=power), x), grad(expected, x))
    for owner in (cls, instance):
        for name in ("of_class", "of_none", "of_none_within"):
            assert torch.equal(grad(getattr(owner, name)(x), x), x.exp()), name
    assert torch.equal(grad(instance.of_class_within(x), x), x.exp())


def test_a_class_method_within_is_bound_by_its_class_too():
    """torch's decorator calls the classmethod object there, which cannot be called."""
    x = leaf()
    assert torch.equal(grad(classes(libgrad.checkpoint).of_class_within(x), x), x.exp())


def test_methods_of_subclasses_and_super():
    class Block(nn.Linear):
        @libgrad.checkpoint(preserve_rng_state=False)
        def forward(self, x):
            return super().forward(x).tanh()

    class Double(Block):
        @libgrad.checkpoint()
        def forward(self, x):
            return super().forward(x) * 2

    block, x = Double(4, 4), leaf()
    expected = grad(nn.functional.linear(x, block.weight, block.bias).tanh() * 2, x)
    assert torch.equal(grad(block(x), x), expected)
    assert torch.equal(grad(copy.deepcopy(block)(x), x), expected)


@both
def test_a_function_whose_arguments_are_called_as_options_gets_them(checkpoint):
    def function(x, *, debug, save=1):
        return x.exp() * debug * save

    x = leaf()
    got = grad(checkpoint()(function)(x, debug=5, save=2), x)
    assert torch.equal(got, grad(x.exp() * 5 * 2, x))


def test_so_it_is_where_torchs_runs(monkeypatch):
    def function(x, debug=1):
        return x.exp() * debug

    x = leaf()
    reentrant = libgrad.checkpoint(use_reentrant=True)(function)
    assert type(reentrant(x).grad_fn).__name__ == "CheckpointFunctionBackward"
    with pytest.raises(ValueError, match="Unexpected keyword arguments: debug"):
        reentrant(x, debug=5)

    def call(function, x, *, debug, **options):  # torch's own logs badly the second time
        assert debug is True
        return function(x)

    monkeypatch.setattr("libgrad._memory.checkpoint._torch_checkpoint", call)
    debugged = libgrad.checkpoint(debug=True)(function)
    assert torch.equal(debugged(x), x.exp())
    assert torch.equal(debugged(x, debug=5), x.exp() * 5)


def test_options_are_those_of_the_decorator():
    runs = []

    def counts(x):
        y = x.exp()
        runs.append(1)  # behind what saves
        return y

    for early_stop, expected in ((True, 1), (False, 2)):
        runs.clear()
        x = leaf()
        grad(libgrad.checkpoint(early_stop=early_stop)(counts)(x), x)
        assert len(runs) == expected

    kept = libgrad.checkpoint(save=("product",))(lambda t: libgrad.name(t * t, "product").sin())
    y = kept(leaf())
    assert [s.label for s in libgrad.graph(y).saved if s.field == "checkpoint.save"] == ["product"]


@both
def test_it_can_be_pickled_where_its_function_can(checkpoint):
    x = leaf()
    layer = checkpoint()(nn.Linear(4, 4))
    again = pickle.loads(pickle.dumps(layer))
    assert type(again) is type(layer)
    assert torch.equal(grad(again(x), x), grad(layer(x), x))
    with pytest.raises((pickle.PicklingError, AttributeError), match="an't"):
        pickle.dumps(classes(checkpoint).plain)  # a local class's
    decorator = pickle.loads(pickle.dumps(checkpoint()))
    assert torch.equal(grad(decorator(exp_sin)(x), x), grad(exp_sin(x), x))


def test_the_options_are_pickled_with_it():
    x = leaf()
    assert torch.equal(grad(pickle.loads(pickle.dumps(named))(x), x), grad(exp_sin(x), x))
    again = pickle.loads(pickle.dumps(renamed))(exp_sin)
    assert again.options == renamed(exp_sin).options
    assert torch.equal(grad(copy.deepcopy(again)(x), x), grad(exp_sin(x), x))


def test_a_function_that_its_module_has_decorated_is_pickled_by_its_name():
    assert pickle.loads(pickle.dumps(decorated_here)) is decorated_here
    assert copy.deepcopy([decorated_here])[0] is decorated_here
    layer = Layer(4, 4)
    assert layer.forward == layer.forward
    bound = pickle.loads(pickle.dumps(layer.scaled))
    assert torch.equal(bound.__self__.weight, layer.weight)
    assert bound.__func__ is Layer.scaled


def test_classes_of_all_kinds_can_have_decorated_methods():
    class Frozen(type):
        def __setattr__(cls, name, value):
            raise AttributeError("frozen")

    class Method(metaclass=Frozen):
        @libgrad.checkpoint()
        def method(self, x):
            return x.exp()

    class Member(enum.Enum):
        ONE = 1

        @libgrad.checkpoint()
        def method(self, x):
            return x.exp() * self.value

    x = leaf()
    for instance in (Method(), Member.ONE):
        assert torch.equal(grad(instance.method(x), x), x.exp())
    assert list(Member) == [Member.ONE]


def test_it_has_the_attributes_of_its_function():
    def marked(x):
        return x.exp()

    marked.mark = 7
    assert libgrad.checkpoint()(marked).mark == 7

    class Base(abc.ABC):
        @libgrad.checkpoint()
        @abc.abstractmethod
        def forward(self, x): ...

    with pytest.raises(TypeError, match="abstract"):
        Base()


@both
def test_arguments_for_no_function_are_refused_as_by_torch(checkpoint):
    with pytest.raises(ValueError, match="Unexpected keyword arguments: scale"):
        checkpoint(scale=3)
    with pytest.raises(TypeError, match="NoneType"):
        checkpoint(None, leaf())
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(determinism_check="all")(exp_sin)(leaf())


def test_what_cannot_be_called_is_named():
    with pytest.raises(TypeError, match="what is decorated must be callable, but is NoneType"):
        libgrad.checkpoint()(None)
    with pytest.raises(TypeError, match="function must be callable, but is str"):
        libgrad.checkpoint("tanh")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_compiled_around_and_inside():
    x, decorated = leaf(), libgrad.checkpoint()(exp_sin)
    expected = grad(exp_sin(x * 1), x)
    around = torch.compile(lambda t: decorated(t * 1), backend="aot_eager")
    inside = libgrad.checkpoint()(torch.compile(exp_sin, backend="aot_eager"))
    try:
        assert torch.equal(grad(around(x), x), expected)
        assert torch.equal(grad(inside(x), x), grad(exp_sin(x), x))
    finally:
        torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("fullgraph", [True, False])
def test_layers_whose_methods_are_decorated_can_be_compiled(fullgraph):
    layer, x = Layer(4, 4), leaf().reshape(1, 4)
    expected = nn.functional.linear(x.exp().sin(), layer.weight) * 2
    gradient = grad(expected, layer.weight)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=fullgraph)
    try:
        for y in (compiled(x), layer(x)):
            assert torch.equal(y, expected)
            assert torch.equal(grad(y, layer.weight), gradient)
    finally:
        torch._dynamo.reset()


def test_layers_whose_methods_are_decorated_can_be_exported():
    layer, x = Layer(4, 4), torch.ones(1, 4)
    try:
        assert torch.equal(torch.export.export(layer, (x,)).module()(x), layer(x))
    finally:
        torch._dynamo.reset()


DEVICES = {"of a block": lambda: torch.device("meta"), "of no block": lambda: torch.device("cpu")}


@both
@pytest.mark.parametrize("name", DEVICES)
def test_the_default_device_of_the_rerun_is_that_of_forward(checkpoint, name):
    seen = []

    def function(x):
        seen.append(torch.ones(1).device.type)
        return x.exp()

    x = leaf()
    with DEVICES[name]():
        y = checkpoint(function, x)
    with torch.device("meta"):
        assert torch.autograd.grad(y, x, torch.ones(4, device="cpu"))[0].device.type == "cpu"
    assert seen[0] == seen[1]


def test_a_rerun_leaves_the_default_device_of_its_thread():
    x = leaf()
    with torch.device("meta"):
        y = libgrad.checkpoint(torch.exp, x)
    left = []

    def backward():
        y.sum().backward()
        left.append(torch.get_default_device())

    thread = threading.Thread(target=backward)
    thread.start()
    thread.join()
    assert [*left, torch.get_default_device()] == [torch.device("cpu")] * 2


@both
@pytest.mark.skipif(
    not hasattr(torch.fx._symbolic_trace, "_is_fx_tracing_context"),
    reason="whether fx traces is known of the process, not of the thread, in this torch",
)
@pytest.mark.parametrize("traced", [True, False])
def test_the_rerun_is_traced_by_fx_as_forward_was(checkpoint, traced):
    fx, seen = torch.fx._symbolic_trace, []

    def function(x):
        seen.append(fx._get_is_fx_tracing())
        return x.exp()

    x = leaf()
    with fx._is_fx_tracing_context(traced):
        y = checkpoint(function, x)
    with fx._is_fx_tracing_context(not traced):
        y.sum().backward()
        assert fx._get_is_fx_tracing() is not traced
    assert seen == [traced, traced]

"""What `checkpoint` keeps by name: what runs again, what is kept, and that bits are the same."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint as theirs
from memory.counted_operators import grads, leaf, noise, parts, runs, same, split, square

import libgrad


@pytest.fixture(autouse=True)
def no_runs():
    runs.clear()


@pytest.mark.parametrize("policy", [{"save": ("s",)}, {"offload": ("s",)}])
def test_what_made_a_named_tensor_does_not_run_again(policy):
    def function(x):
        return libgrad.name(square(x.exp()), "s").sin().exp()

    x = leaf()
    y = libgrad.checkpoint(function, x, **policy)
    assert runs["square"] == 1
    got = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert runs["square"] == 1
    again = torch.autograd.grad(y.sum(), x)
    assert runs["square"] == 1
    assert same(got, grads(function, x))
    assert same(again, got)


def test_other_names_do_nothing():
    def function(x):
        return libgrad.name(square(x.exp()), "s").sin().exp()

    x = leaf()
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("other",)), x)
    assert runs["square"] == 2
    assert same(got, grads(function, x))


def test_nothing_runs_again_when_all_that_was_saved_has_a_name():
    def function(x):
        runs["function"] += 1
        y = libgrad.name(x.exp(), "exp")
        return libgrad.name(y.tanh(), "tanh") * 2

    x = leaf()
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("exp", "tanh")), x)
    assert runs["function"] == 1
    assert same(got, grads(function, x))


@pytest.mark.parametrize("view", [lambda t: t.view(2, 3), lambda t: t[1:], lambda t: t.detach()])
def test_a_view_stands_for_the_tensor_that_it_looks_into(view):
    def function(x):
        y = square(x.exp())
        libgrad.name(view(y), "s")
        return y.sin().exp()

    x = leaf()
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
    assert runs["square"] == 1
    assert same(got, grads(function, x))


@pytest.mark.parametrize("which", [0, 1])
def test_all_results_of_an_operator_are_kept_with_one(which):
    def function(x):
        two = split(x.exp())
        libgrad.name(two[which], "s")
        return two[0].sin().exp() + two[1].cos().exp()

    x = leaf()
    y = libgrad.checkpoint(function, x, save=("s",))
    saved = [s for s in libgrad.graph(y).saved if s.field == "checkpoint.save"]
    assert [s.label for s in saved] == ["s", "s"]
    got = torch.autograd.grad(y.sum(), x)
    assert runs["split"] == 1
    assert same(got, grads(function, x))


def test_a_list_of_results_is_kept():
    def function(x):
        one, two = parts(x.exp())
        libgrad.name(two, "s")
        return one.sin().exp() + two.cos().exp()

    x = leaf()
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
    assert runs["parts"] == 1
    assert same(got, grads(function, x))


def test_what_draws_random_numbers_runs_again():
    def function(x):
        y = libgrad.name(noise(x.exp()), "s")
        return (F.dropout(y.sin(), 0.5) + noise(y)).exp()

    x = leaf(50)
    torch.manual_seed(0)
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
    assert runs["noise"] == 4
    torch.manual_seed(0)
    assert same(got, grads(function, x))


@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_tensor_changed_in_place(where):
    def function(x):
        y = square(x.exp())
        if where == "before":
            y.mul_(2)
        libgrad.name(y, "s")
        if where == "behind":
            y.mul_(2)
        return y.sin().exp()

    x = leaf()
    if where == "before":
        got = grads(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
        assert same(got, grads(function, x))
        return
    with pytest.raises(RuntimeError, match=r'"s" .*was changed in place after libgrad\.name'):
        libgrad.checkpoint(function, x, save=("s",))
    y = libgrad.checkpoint(function, x)  # nothing of the failed one is left
    assert same(torch.autograd.grad(y.sum(), x), grads(function, x))


def test_a_function_that_does_something_else_is_told():
    sizes = []

    def function(x):
        sizes.append(1)
        y = square(x[: -len(sizes)].exp()).sum() * x
        return libgrad.name(square(y), "s").sin().exp() + libgrad.name(square(x), "t").sin()

    for save, text in [(("s",), "different metadata"), (("s", "t"), "different metadata")]:
        sizes.clear()
        y = libgrad.checkpoint(function, leaf(), save=save)
        with pytest.raises(theirs.CheckpointError, match=text):
            y.sum().backward()

    def another(x):
        sizes.append(1)
        if len(sizes) > 1:
            square(x[:2])
        return libgrad.name(square(x.exp()), "s").sin().exp()

    sizes.clear()
    y = libgrad.checkpoint(another, leaf(), save=("s",))
    with pytest.raises(theirs.CheckpointError, match="different metadata"):
        y.sum().backward()


def test_a_kept_tensor_that_is_changed_after_forward_is_an_error():
    kept = []

    def function(x):
        kept.append(libgrad.name(square(x.exp()), "s"))
        return kept[0].sin().exp()

    y = libgrad.checkpoint(function, leaf(), save=("s",))
    with torch.no_grad():
        kept[0].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_the_same_name_in_a_loop():
    def function(x):
        for _ in range(5):
            x = libgrad.name(square(x.sin()), "s").exp()
        return x

    x = leaf()
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
    assert runs["square"] == 5
    assert same(got, grads(function, x))


def test_checkpoints_inside_each_other():
    def inner(x):
        return libgrad.name(square(x.sin()), "inner").exp()

    def outer(x):
        y = libgrad.name(square(x.exp()), "outer").sin()
        return libgrad.checkpoint(inner, y, save=("inner",)).tanh()

    x = leaf()
    for save, expected in [((), 4), (("outer",), 3), (("inner",), 3), (("inner", "outer"), 2)]:
        runs.clear()
        got = grads(lambda x, save=save: libgrad.checkpoint(outer, x, save=save), x)
        assert runs["square"] == expected
        assert same(got, grads(outer, x))


@pytest.mark.parametrize("outside", [libgrad.checkpoint, theirs.checkpoint])
@pytest.mark.parametrize("policy", [{"save": ("s", "t")}, {"offload": ("s", "t")}])
def test_what_is_kept_in_a_checkpoint_around_is_needed_twice(outside, policy):
    def inner(x):
        return libgrad.name(libgrad.name(square(x), "s").sin(), "t").exp()

    def outer(x):
        return libgrad.checkpoint(inner, x, **policy).tanh()

    x = leaf()
    got = grads(lambda x: outside(outer, x, use_reentrant=False), x)
    assert runs["square"] == 2
    assert same(got, grads(outer, x))


def test_double_backward_and_create_graph():
    def function(x):
        return libgrad.name(x.exp() * x, "s").sin()

    def twice(function, x):
        (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)

    x = leaf()
    got = twice(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
    assert same(got, twice(function, x))


def test_memory_is_that_of_the_names():
    def function(x):
        for i in range(8):
            x = libgrad.name(x.exp().sin(), f"layer{i}")
        return x

    y = libgrad.checkpoint(function, leaf(1000), save=("layer2", "layer5"))
    graph = libgrad.graph(y)
    assert graph.exclusive_nbytes == 3 * 4000  # the input, and two
    kept = {s.label: s.nbytes for s in graph.saved if s.field == "checkpoint.save"}
    assert kept == {"layer2": 4000, "layer5": 4000}


def test_hooks_around_pack_what_is_kept():
    def function(x):
        return libgrad.name(square(x.exp()), "s").sin().exp()

    with libgrad.compress():
        y = libgrad.checkpoint(function, leaf(1000), save=("s",))
    assert libgrad.graph(y).exclusive_nbytes == 2 * 2000  # the input, and it
    y.sum().backward()
    assert runs["square"] == 1


def test_a_tensor_of_a_transform_inside_is_refused():
    def function(x):
        return torch.vmap(lambda row: libgrad.name(row.sin(), "s").exp())(x)

    x = leaf(2, 3)
    with pytest.raises(RuntimeError, match=r'"s" belongs to a transform of torch\.func'):
        libgrad.checkpoint(function, x, save=("s",))
    got = grads(lambda x: libgrad.checkpoint(function, x, save=("other",)), x)
    assert same(got, grads(function, x))


def test_threads_keep_for_themselves():
    def function(x):
        return libgrad.name(square(x.exp()), "s").sin().exp()

    wrong = []

    def work():
        for _ in range(20):
            x = leaf()
            got = grads(lambda x: libgrad.checkpoint(function, x, save=("s",)), x)
            if not same(got, grads(function, x)):
                wrong.append(x)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_error_in_the_function_leaves_nothing_behind():
    def fails(x):
        libgrad.name(square(x), "s")
        raise KeyError("mine")

    x = leaf()
    with pytest.raises(KeyError, match="mine"):
        libgrad.checkpoint(fails, x, save=("s",))
    y = square(x.exp())
    assert libgrad.name(y, "s") is y
    assert same(torch.autograd.grad(y.sum(), x), grads(lambda x: square(x.exp()), x))


def test_checkpoint_name_is_name_by_another_word():
    def function(x):
        return libgrad.checkpoint_name(square(x.exp()), "s").sin().exp()

    x = leaf()
    libgrad.checkpoint(function, x, save=("s",)).sum().backward()
    assert runs["square"] == 1
    named = libgrad.checkpoint_name(x.exp(), "b")
    assert libgrad.graph(named).nodes[0].label == "b"
    for arguments, error in (((3, "a"), TypeError), ((x, 3), TypeError), ((x, ""), ValueError)):
        with pytest.raises(error, match=r"^checkpoint_name: "):
            libgrad.checkpoint_name(*arguments)
    assert torch.compile(lambda x: libgrad.checkpoint_name(x, "c") * 2, backend="eager")(x) is not x

"""`freeze`: no operator writes into a frozen tensor, nor into a view of it."""

from __future__ import annotations

import gc
import inspect
import threading

import pytest
import torch
from torch import nn

import libgrad

WRITES = {
    "add_": lambda t: t.add_(1),
    "item": lambda t: t.__setitem__(0, 1.0),
    "mask": lambda t: t.__setitem__(t > -9, 1.0),
    "view": lambda t: t.view(-1).mul_(2),
    "row": lambda t: t[1].zero_(),
    "out": lambda t: torch.add(torch.ones(2, 3), 1, out=t),
    "data": lambda t: t.data.fill_(1),
    "detach": lambda t: t.detach().copy_(torch.ones(2, 3)),
    "foreach": lambda t: torch._foreach_add_([torch.ones(2), t], 1),
    "relu": lambda t: torch.nn.functional.relu(t, inplace=True),
    "init": lambda t: torch.nn.init.normal_(t),
    "resize": lambda t: t.resize_(3, 3),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_raises_where_it_is_tried_and_writes_nothing(write, device):
    if device != "cpu" and write is WRITES["out"]:
        pytest.skip("its argument is on the CPU")
    t = torch.zeros(2, 3, device=device)
    line = inspect.currentframe().f_lineno + 1
    with libgrad.freeze(t):
        with pytest.raises(RuntimeError, match=r"freeze: aten::\w+.* would write") as raised:
            write(t)
        assert f"frozen at {__file__}:{line}" in str(raised.value)
        assert (t._version, t.shape) == (0, (2, 3))
        assert torch.equal(t.cpu(), torch.zeros(2, 3))
    write(t)
    assert t._version > 0 or write is WRITES["data"]


def test_reading_and_deriving_are_no_writes():
    w = torch.ones(3, requires_grad=True)
    with libgrad.freeze(w):
        (w * 2).relu_().sum().backward()
        w.detach_()
        w.requires_grad_()
        assert w.clone().add_(1).sum() == 6


def test_other_parts_of_the_same_memory_can_be_written():
    t = torch.zeros(4, 4)
    with libgrad.freeze(t[:, 1]):
        t[:, 0] = 1
        t[:, 2:] = 1
        with pytest.raises(RuntimeError, match="frozen"):
            t[2, :] = 1
        with pytest.raises(RuntimeError, match="frozen"):
            t.add_(1)
    assert t[:, 1].sum() == 0


def test_an_optimizer_names_its_step():
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(1, 2)).sum().backward()
    frozen = libgrad.freeze(layer.weight)
    with pytest.raises(RuntimeError, match="frozen tensor"):
        optimizer.step()
    frozen.thaw()
    frozen.thaw()
    optimizer.step()
    assert repr(frozen) == "Frozen(thawed)"


def test_it_stays_frozen_without_its_handle_and_until_it_is_gone():
    t = torch.zeros(2)
    libgrad.freeze(t)
    gc.collect()
    with pytest.raises(RuntimeError, match="frozen"):
        t.add_(1)
    del t
    gc.collect()
    assert not torch._C._dispatch_has_kernel_for_dispatch_key(
        "aten::add_.Tensor", "TESTING_ONLY_GenericMode"
    )


def test_backward_cannot_write_into_a_frozen_gradient():
    x = torch.ones(2, requires_grad=True)
    x.sum().backward()
    with libgrad.freeze(x.grad), pytest.raises(RuntimeError, match="frozen"):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_another_thread_does_not_thaw():
    t = torch.zeros(2)
    frozen = libgrad.freeze(t)
    errors = []

    def thaw():
        try:
            frozen.thaw()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=thaw)
    thread.start()
    thread.join()
    assert errors == ["thaw: another thread froze the tensor; thaw it there"]
    with pytest.raises(RuntimeError, match="frozen"):
        t.add_(1)
    frozen.thaw()


@pytest.mark.parametrize(
    ("tensor", "error", "says"),
    [
        (None, TypeError, "tensor must be a tensor, but is NoneType"),
        ([1.0], TypeError, "but is list"),
        (torch.ones(2, 2).to_sparse(), RuntimeError, "memory of its own"),
    ],
    ids=["None", "list", "sparse"],
)
def test_refused(tensor, error, says):
    with pytest.raises(error, match=says):
        libgrad.freeze(tensor)


def test_empty_and_integer_tensors_can_be_frozen():
    counts = torch.zeros(3, dtype=torch.int)
    both = libgrad.freeze(torch.zeros(0)), libgrad.freeze(counts)
    with pytest.raises(RuntimeError, match="int32"):
        counts[0] = 1
    for frozen in both:
        frozen.thaw()

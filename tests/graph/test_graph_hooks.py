"""`graph` and `doctor` where hooks on saved tensors raised, and where they are none of Python's."""

from __future__ import annotations

import gc

import pytest
import torch

import libgrad


def refuses(tensor):
    raise KeyError("mine")


def raised(x):
    """A product of `x`, which it saved with hooks that raised, so that nothing was packed."""
    y = x * torch.ones(4, requires_grad=True)
    with pytest.raises(KeyError, match="mine"):
        y.grad_fn._raw_saved_self.register_hooks(refuses, lambda tensor: tensor)
    return y


def test_the_tensor_of_hooks_that_raised_is_still_held():
    x = torch.ones(4, requires_grad=True).clone()
    y = raised(x)
    places = {s.field: s for s in libgrad.graph(y).saved}
    assert (places["self"].state, places["self"].hooks) == ("held", True)
    assert (places["self"].nbytes, places["self"].shape) == (16, (4,))
    assert (places["other"].state, places["other"].hooks) == ("held", False)
    assert libgrad.graph(y).exclusive_nbytes == 16  # the other factor
    del x
    gc.collect()
    assert libgrad.graph(y).exclusive_nbytes == 32
    graph = libgrad.graph(y)
    assert all(write() for write in (graph.to_text, graph.to_svg, graph.to_html, graph.to_json))
    assert graph.plan().peak_nbytes >= 32


def test_what_was_packed_is_read_beside_what_was_not():
    x = torch.ones(4, requires_grad=True)
    y = x * x.exp()
    y.grad_fn._raw_saved_other.register_hooks(
        lambda t: ("doubled", t.double()), lambda value: value[1].float()
    )
    with pytest.raises(KeyError, match="mine"):
        y.grad_fn._raw_saved_self.register_hooks(refuses, lambda tensor: tensor)
    saved = {s.field: s for s in libgrad.graph(y).saved[:2]}
    assert (saved["other"].state, saved["other"].nbytes) == ("packed", 32)
    assert (saved["self"].state, saved["self"].nbytes) == ("held", 16)


def test_a_checkpoint_is_read_beside_hooks_that_raised():
    """The inputs of torch's checkpoint are found by its unpack hook, of which there is data."""
    x = torch.ones(4, requires_grad=True)
    inner = torch.utils.checkpoint.checkpoint(torch.exp, x * 1, use_reentrant=False)
    y = raised(inner)
    assert [s.nbytes for s in libgrad.graph(y).saved if s.field == "checkpoint.args"] == [16]


@pytest.mark.parametrize(
    "hooks", [libgrad.compress, libgrad.save_on_cpu, libgrad.saved_tensors_hooks]
)
def test_the_doctor_reads_what_hooks_made(hooks):
    options = [lambda t: t.detach(), lambda t: t] if hooks is libgrad.saved_tensors_hooks else []
    x = torch.ones(4, requires_grad=True)
    with libgrad.doctor(), hooks(*options):
        y = (x * 2).exp().sum()
    assert libgrad.graph(y).saved
    assert list(libgrad.diagnose(y)) == []
    torch.testing.assert_close(torch.autograd.grad(y, x)[0], 2 * (2 * x).exp(), rtol=1e-2, atol=0)


def test_the_doctor_reads_the_tensor_of_hooks_that_raised():
    x = torch.ones(4, requires_grad=True) * 1
    with libgrad.doctor():
        y = raised(x)
        with torch.no_grad():
            x.add_(1)
    (finding,) = libgrad.diagnose(y)
    assert "add_" in str(finding)

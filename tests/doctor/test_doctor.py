"""`doctor` and `diagnose`: what they say, and that they leave nothing behind."""

from __future__ import annotations

import copy
import gc
import inspect
import threading
import warnings

import pytest
import torch
from support.parity import python
from torch import nn

import libgrad

KEY = "TESTING_ONLY_GenericMode"
MESSAGE = "has been modified by an inplace operation"


def here() -> int:
    """The line that calls this."""
    return inspect.currentframe().f_back.f_lineno


def spoiled(device: str = "cpu") -> tuple[torch.Tensor, int]:
    """A loss whose backward needs what was written to, and the line that wrote."""
    x = torch.ones(3, device=device, requires_grad=True)
    y = x.exp()
    y.add_(1), (line := here())
    return y.sum(), line


def is_watched() -> bool:
    """Whether anything of a doctor is left in torch."""
    gc.collect()
    return (
        torch.autograd.graph._engine_run_backward.__code__.co_filename
        != torch.autograd.graph.__file__
        if inspect.isfunction(torch.autograd.graph._engine_run_backward)
        else True
    ) or torch._C._dispatch_has_kernel_for_dispatch_key("aten::add_.Tensor", KEY)


def test_error_is_torchs_and_says_more(device):
    gc.collect()  # doctors of other tests
    plain, _ = spoiled(device)
    with pytest.raises(RuntimeError) as before:
        plain.backward()
    with libgrad.doctor(), pytest.raises(RuntimeError) as raised:
        loss, line = spoiled(device)
        loss.backward()
    assert type(raised.value) is type(before.value)
    text = str(raised.value)
    assert text.startswith(str(before.value))
    assert f"{__file__}:{line}" in text
    finding = raised.value.findings[0]
    assert (finding.node, finding.field, finding.shape) == ("ExpBackward0", "result", (3,))
    assert (finding.dtype, finding.device.type) == (torch.float32, device)
    assert [(w.op, w.line, w.before, w.after) for w in finding.writes] == [
        ("aten::add_.Tensor", line, 0, 1)
    ]


@pytest.mark.parametrize(
    "run",
    [
        lambda loss: loss.backward(),
        lambda loss: torch.autograd.backward([loss]),
        lambda loss: torch.autograd.grad(loss, loss.grad_fn.next_functions[0][0].next_functions),
        libgrad.backward,
        lambda loss: libgrad.backward(tensors=(loss,)),
        lambda loss: libgrad.grad(
            outputs=loss, inputs=torch.autograd.graph.get_gradient_edge(loss)
        ),
    ],
    ids=["tensor", "torch.backward", "torch.grad", "backward", "keyword", "grad of edge"],
)
def test_every_way_into_the_engine_is_explained(run):
    with libgrad.doctor() as d:
        loss, _ = spoiled()
        try:
            run(loss)
        except (RuntimeError, TypeError) as error:
            found = getattr(error, "findings", None)
        else:
            found = None
    if found is not None:
        assert found[0].node == "ExpBackward0"
        assert len(d.findings()) == 1
    else:  # these edges do not lead through the node
        assert d.findings() == ()


def test_backward_after_the_block_is_explained_while_the_doctor_lives():
    with libgrad.doctor() as d:
        loss, line = spoiled()
    with pytest.raises(RuntimeError, match=MESSAGE) as raised:
        loss.backward()
    assert raised.value.findings[0].writes[0].line == line
    assert len(d.findings()) == 1


def test_error_that_leaves_the_block_is_explained_whoever_ran_the_engine():
    def engine(loss):
        torch.autograd.Variable._execution_engine.run_backward(
            (loss,), (torch.ones(()),), False, False, (), allow_unreachable=True,
            accumulate_grad=True,
        )  # fmt: skip

    with pytest.raises(RuntimeError, match=MESSAGE) as raised, libgrad.doctor():
        loss, line = spoiled()
        engine(loss)
    assert raised.value.findings[0].writes[0].line == line


def test_other_errors_are_left_alone():
    x = torch.ones(3, requires_grad=True)
    loss = x.exp().sum()
    loss.backward()
    with libgrad.doctor() as d, pytest.raises(RuntimeError, match="second time") as raised:
        loss.backward()
    assert not hasattr(raised.value, "findings")
    assert d.findings() == ()

    class Mine(RuntimeError):
        pass

    def fail(grad):
        raise Mine("of a hook")

    x.register_hook(fail)
    with libgrad.doctor(), pytest.raises(Mine, match=r"^of a hook$"):
        x.exp().sum().backward()


def test_torchs_error_stays_when_it_cannot_be_explained(monkeypatch):
    def fail(roots):
        raise RuntimeError("of the doctor")

    monkeypatch.setattr(libgrad._doctor.doctor, "_look", fail)
    with libgrad.doctor(), pytest.raises(RuntimeError, match=MESSAGE) as raised:
        loss, _ = spoiled()
        loss.backward()
    assert raised.value.__context__ is None


def test_nothing_is_left_behind():
    assert not is_watched()
    with libgrad.doctor(silent=True) as d:
        loss, _ = spoiled()
        assert is_watched()
        with pytest.raises(RuntimeError, match=MESSAGE):
            loss.backward()
    del d
    assert not is_watched()
    with pytest.raises(ZeroDivisionError), libgrad.doctor(silent=True):
        _ = 1 / 0
    assert not is_watched()


def test_doctors_nest_and_repeat():
    with libgrad.doctor() as outer:
        with libgrad.doctor() as inner:
            loss, _ = spoiled()
        with outer:
            pass
        with pytest.raises(RuntimeError, match=MESSAGE) as raised:
            loss.backward()
    assert str(raised.value).count("what to do") == 1
    assert len(outer.findings()) == len(inner.findings()) == 1
    del inner, outer
    assert not is_watched()


def test_gradients_are_the_same_bits_under_a_doctor():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten())
    other, x = copy.deepcopy(net), torch.randn(2, 1, 6, 6)
    net(x).square().sum().backward()
    with libgrad.doctor(silent=True) as d:
        other(x).square().sum().backward()
    assert d.findings() == ()
    for ours, theirs in zip(other.parameters(), net.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    assert torch.equal(other[1].running_mean, net[1].running_mean)


def test_other_threads_are_not_watched():
    seen = []

    def work():
        loss, _ = spoiled()
        try:
            loss.backward()
        except RuntimeError as error:
            seen.append(hasattr(error, "findings"))

    with libgrad.doctor() as d:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [False]
    assert d.findings() == ()


def test_a_doctor_is_left_by_the_thread_that_entered_it():
    d = libgrad.doctor()
    with pytest.raises(RuntimeError, match="doctor: left without being entered"):
        d.__exit__(None, None, None)
    d.__enter__()
    errors = []

    def leave():
        with pytest.raises(RuntimeError, match="doctor: left by another thread") as raised:
            d.__exit__(None, None, None)
        errors.append(raised)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    d.__exit__(None, None, None)
    assert len(errors) == 1


def test_two_threads_each_with_a_doctor():
    results = {}

    def work(name):
        for _ in range(20):
            with libgrad.doctor(silent=True):
                loss, line = spoiled()
                try:
                    loss.backward()
                except RuntimeError as error:
                    writes = error.findings[0].writes
                    results.setdefault(name, set()).add(
                        tuple((w.op, w.line == line) for w in writes)
                    )

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {name: {(("aten::add_.Tensor", True),)} for name in "ab"}
    assert not is_watched()


def test_diagnose_finds_all_of_them_without_running_anything():
    x = torch.ones(3, requires_grad=True)
    a, b = x.exp(), x.sigmoid()
    ran = []
    loss = (a * 2).sum() + b.sum()
    loss.register_hook(lambda grad: ran.append(grad))
    a.zero_()
    b.zero_()
    findings = libgrad.diagnose(loss)
    assert {finding.node for finding in findings} == {"ExpBackward0", "SigmoidBackward0"}
    assert [f.order for f in findings] == sorted(f.order for f in findings)
    assert all(finding.writes == () and finding.unseen == 1 for finding in findings)
    assert "inside doctor()" in findings[0].advice
    assert ran == []
    assert x.grad is None


def test_diagnose_of_a_healthy_graph_is_empty_and_false():
    findings = libgrad.diagnose(torch.ones(3, requires_grad=True).exp().sum())
    assert not findings
    assert str(findings) == "nothing that backward needs was written to"


def test_names_of_leaves():
    layer = nn.Linear(3, 2)
    x = torch.ones(2, 3, requires_grad=True)
    loss = layer(x).sum()
    with torch.no_grad():
        layer.weight.mul_(2)
    (unnamed,) = libgrad.diagnose(loss)
    (named,) = libgrad.diagnose(loss, params=layer)
    assert (unnamed.is_leaf, unnamed.leaf) == (True, None)
    assert (named.is_leaf, named.leaf) == (True, "weight")
    model = nn.ModuleDict({"head": nn.Sequential(nn.Linear(3, 3), layer)})["head"]
    with libgrad.doctor():
        loss = model(x).sum()
        with torch.no_grad():
            layer.weight.mul_(2)
        (seen,) = libgrad.diagnose(loss)
    assert seen.leaf == "1.weight"


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((), TypeError, "diagnose: expected at least one tensor"),
        ((None,), TypeError, "diagnose: tensor 0 must be a tensor, but is NoneType"),
        ((torch.ones(2),), RuntimeError, "diagnose: tensor 0 .* does not require grad"),
        ((torch.ones(2, dtype=torch.int64),), RuntimeError, "does not require grad"),
        (([],), TypeError, "must be a tensor, but is list"),
    ],
    ids=["nothing", "None", "no grad", "integers", "list"],
)
def test_diagnose_refuses(arguments, error, says):
    with pytest.raises(error, match=says):
        libgrad.diagnose(*arguments)


def test_freed_graph_has_nothing_to_find():
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    loss = y.sum()
    loss.backward()
    y.detach().add_(1)
    assert libgrad.diagnose(loss) == ()


def test_silent_write_is_told_once_a_backward_and_backward_goes_on():
    x = torch.ones(3, requires_grad=True)
    with libgrad.doctor(silent=True) as d:
        y = x.exp()
        loss = y.sum()
        y.data.mul_(2), (line := here())
        with pytest.warns(libgrad.SilentWriteWarning, match="its numbers have changed"):
            loss.backward()
    (finding,) = d.findings()
    assert finding.silent
    assert [(w.op, w.line) for w in finding.writes] == [("aten::mul_.Tensor", line)]
    assert x.grad is not None


def test_silent_write_of_equal_numbers_is_none():
    x = torch.ones(3, requires_grad=True)
    with libgrad.doctor(silent=True) as d, warnings.catch_warnings():
        warnings.simplefilter("error")
        y = x.exp()
        y.data.copy_(y.data.clone())
        y.detach().numpy()[:] = y.detach().numpy().copy()
        y.sum().backward()
    assert d.findings() == ()


def test_silent_write_as_an_error():
    x = torch.ones(3, requires_grad=True)
    with warnings.catch_warnings(), libgrad.doctor(silent=True):
        warnings.simplefilter("error", libgrad.SilentWriteWarning)
        y = x.exp()
        y.data.mul_(2)
        with pytest.raises(libgrad.SilentWriteWarning):
            y.sum().backward()
    assert x.grad is None
    assert not is_watched()


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.data.view(-1)[5:6].add_(1e-3),
        lambda y: y.data.view(-1)[[0, 1]].mul_(0) if False else y.data[:, [0, 1]],
        lambda y: y.data.copy_(y.data.flip(0)),
    ],
    ids=["one number", "nothing", "order"],
)
@pytest.mark.parametrize("shape", [(2, 3), (70, 130)], ids=str)
def test_contents_are_compared_number_by_number(change, shape):
    x = torch.randn(shape, requires_grad=True)
    with libgrad.doctor(silent=True) as d, warnings.catch_warnings():
        warnings.simplefilter("ignore", libgrad.SilentWriteWarning)
        y = x.exp()
        before = y.detach().clone()
        change(y)
        y.sum().backward()
    assert bool(d.findings()) == (not torch.equal(before, y.detach()))


def test_findings_in_a_notebook_are_a_table_without_markup_of_others():
    class Odd(nn.Module):
        def forward(self, x):
            y = x.exp()
            y += 1  # <script>
            return y

    with libgrad.doctor():
        loss = Odd()(torch.ones(2, requires_grad=True)).sum()
        html = libgrad.diagnose(loss)._repr_html_()
    assert html.startswith("<table>")
    assert "ExpBackward0" in html
    assert "aten::add_.Tensor" in html
    assert "<script>" not in html


def test_works_under_checkpoint_autocast_and_inference_mode():
    from torch.utils.checkpoint import checkpoint

    layer = nn.Linear(4, 4)
    x = torch.randn(2, 4, requires_grad=True)
    with libgrad.doctor(silent=True) as d:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = checkpoint(lambda t: layer(t).relu(), x, use_reentrant=False)
        y.float().sum().backward()
        with torch.inference_mode():
            layer(x).add_(1)
        torch.func.grad(lambda t: t.clone().mul_(2).sum())(x.detach())
        torch.vmap(lambda t: t.clone().mul_(2))(x.detach())
    assert d.findings() == ()


def test_a_chain_of_many_writes_names_them_all():
    with libgrad.doctor():
        y = torch.ones(3, requires_grad=True).exp()
        for _ in range(5):
            y.mul_(2), (line := here())
        (finding,) = [f for f in libgrad.diagnose(y.sum()) if f.node == "ExpBackward0"]
    assert [(w.before, w.after, w.line) for w in finding.writes] == [
        (i, i + 1, line) for i in range(5)
    ]
    assert finding.unseen == 0


def test_writes_of_another_thread_are_counted_as_not_seen():
    with libgrad.doctor():
        y = torch.ones(3, requires_grad=True).exp()
        thread = threading.Thread(target=lambda: y.detach().add_(1))
        thread.start()
        thread.join()
        y.detach().mul_(2)
        (finding,) = libgrad.diagnose(y.sum())
    assert [w.op for w in finding.writes] == ["aten::mul_.Tensor"]
    assert finding.unseen == 1
    assert "1 write was not recorded" in str(finding)


def test_report_is_what_a_person_would_read(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "def run(model, x):\n"
        "    hidden = model(x)\n"
        "    hidden += 1\n"
        "    return hidden.sum()\n"
    )  # fmt: skip
    namespace = {}
    exec(compile(script.read_text(), str(script), "exec"), namespace)
    with libgrad.doctor():
        loss = namespace["run"](nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), torch.ones(1, 2))
        report = str(libgrad.diagnose(loss)).replace(str(tmp_path), "")
    assert report.splitlines() == [
        "SigmoidBackward0 needs `result`, float32 [1, 2], as it was at version 0; "
        "it is at version 1",
        "  made and saved by  aten::sigmoid      /train.py:2 in 1",
        "                       hidden = model(x)",
        "  written by         aten::add_.Tensor  /train.py:3  (version 0 to 1)",
        "                       hidden += 1",
        "  what to do: use `add` instead of `add_` at /train.py:3 (x = x + y, not x += y); "
        "or write into a copy, by clone()",
    ]


COLLECTED = """
import gc
from torch.autograd import graph
from libgrad._doctor import doctor as module

before = graph._engine_run_backward
gc.disable()
for _ in range(3):
    one = libgrad.doctor()
    one.found_by = one  # only the garbage collector frees it
    with one:
        pass
del one
collected = []
module._doctors += (lambda: collected.append(gc.collect()),)  # where they are looked through
with libgrad.doctor() as d:
    assert graph._engine_run_backward is not before
assert collected[0] > 0 and module._users == 1
del d
assert graph._engine_run_backward is before and torch.autograd._engine_run_backward is before
print("done")
"""


def test_doctors_may_be_collected_while_another_begins():
    assert python(COLLECTED) == "done\n"

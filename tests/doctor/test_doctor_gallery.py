"""The doctor on the gallery: every cause named right, and nothing where nothing is wrong."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from doctor.doctor_scripts import FAILING, GALLERY, SILENT, case, load, marked, run_healthy
from support.operators import ASSIGNMENTS, writer
from support.paths import MADE

import libgrad

PAGE = MADE / "doctor_gallery.py"
HEALTHY = load(GALLERY / "healthy.py").HEALTHY


@pytest.fixture(scope="module", autouse=True)
def _a_clean_compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def told(finding: libgrad.Finding) -> dict:
    """What a script's EXPECT says, of a finding."""
    return {
        "node": finding.node,
        "field": finding.field if finding.index is None else f"{finding.field}[{finding.index}]",
        "shape": list(finding.shape),
        "dtype": str(finding.dtype).removeprefix("torch."),
        "writers": [write.op for write in finding.writes],
        "saved_version": finding.saved_version,
        "version": finding.version,
        "made_by": "leaf" if finding.is_leaf else finding.made_at.op,
        "module": finding.saved_by.module,
    }


def lines(*calls) -> set[tuple[str, int]]:
    return {(Path(call.file).name, call.line) for call in calls}


def expected(module) -> dict:
    expect = {key: module.EXPECT[key] for key in module.EXPECT}
    for extra in ("also", "silent", "outside"):
        expect.pop(extra, None)
    name = lambda op: writer(op) if op in ASSIGNMENTS else op
    return expect | {
        "module": expect["module"] or None,
        "made_by": name(expect["made_by"]),
        "writers": [name(op) for op in expect["writers"]],
    }


@pytest.mark.parametrize("path", FAILING, ids=case)
def test_the_error_names_node_tensor_and_writer(path):
    module = load(path)
    with libgrad.doctor() as d, pytest.raises(RuntimeError, match="inplace operation") as raised:
        module.run()
    finding = raised.value.findings[0]
    assert told(finding) == expected(module)
    assert lines(finding.saved_by) == set(marked(path, module.EXPECT, "saves"))
    assert lines(*finding.writes) == set(marked(path, module.EXPECT, "writes"))
    assert (finding.unseen, finding.silent) == (0, False)
    assert str(finding) in str(raised.value)
    assert tuple(d.findings()) == tuple(raised.value.findings)


@pytest.mark.parametrize("path", SILENT, ids=case)
def test_a_silent_write_is_found(path):
    module = load(path)
    with libgrad.doctor(silent=True) as d, pytest.warns(libgrad.SilentWriteWarning) as warned:
        module.run()
    finding = d.findings()[0]
    assert finding.silent
    assert told(finding) == expected(module)
    assert lines(finding.saved_by) == set(marked(path, module.EXPECT, "saves"))
    assert warned[0].filename == str(path)
    writes = set(marked(path, module.EXPECT, "writes"))
    if module.EXPECT["outside"]:
        assert finding.unchanged_at.file == finding.changed_at.file == str(path)
        assert "outside of PyTorch" in str(finding)
    else:
        assert lines(*finding.writes) == writes


@pytest.mark.parametrize("silent", [False, True], ids=["doctor", "silent"])
@pytest.mark.parametrize("loop", HEALTHY, ids=lambda loop: loop.__name__)
def test_nothing_is_found_in_a_healthy_loop(loop, silent):
    with warnings.catch_warnings():
        warnings.simplefilter("error", libgrad.SilentWriteWarning)
        with libgrad.doctor(silent=silent) as d:
            run_healthy(loop, 10)
    assert d.findings() == ()


def torchs_words() -> str:
    """What torch calls the node that made the tensor in its error."""
    y = torch.ones(2, requires_grad=True).exp()
    y.add_(1)
    with pytest.raises(RuntimeError) as raised:
        torch.autograd.backward(y.sum())
    return re.search(r"output 0 of \w+", str(raised.value))[0]


MADE_PAGE = PAGE.with_suffix(".md").read_text("utf-8")


@pytest.mark.skipif(
    writer("x[i] = v") not in MADE_PAGE or f"{torchs_words()}," not in MADE_PAGE,
    reason="the page was made with a torch that assigns by another operator, or words its errors "
    "in another way",
)
def test_the_page_shows_what_is_said():
    made = load(PAGE).page()
    assert made == MADE_PAGE

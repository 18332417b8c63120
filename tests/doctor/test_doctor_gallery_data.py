"""The doctor's gallery itself, in plain torch: it fails, is wrong or is right as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from doctor.doctor_scripts import FAILING, GALLERY, SILENT, case, load, marked, run_healthy

MESSAGE = re.compile(
    r"modified by an inplace operation: \[(?:torch\.)?(?P<type>\w+) \[(?P<shape>[\d, ]*)\]"
    r".* is at version (?P<version>\d+); expected version (?P<saved>\d+) instead"
)
TYPES = {
    "FloatTensor": "float32",
    "CPUBFloat16Type": "bfloat16",
    "CPUComplexFloatType": "complex64",
}


@pytest.fixture(scope="module", autouse=True)
def _a_clean_compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def test_there_are_scripts_of_every_kind():
    assert len([p for p in FAILING if p.parent == GALLERY]) >= 28
    assert len([p for p in FAILING if p.parent != GALLERY]) >= 12
    assert len(SILENT) >= 10
    assert len(load(GALLERY / "healthy.py").HEALTHY) >= 20


@pytest.mark.parametrize("path", [*FAILING, *SILENT], ids=case)
def test_a_script_says_what_is_to_be_found_and_marks_the_lines(path):
    expect = load(path).EXPECT
    keys = {"node", "field", "shape", "dtype", "writers", "saved_version", "version"}
    assert keys | {"made_by", "module"} <= expect.keys()
    assert len(marked(path, expect, "saves")) == 1
    assert marked(path, expect, "writes")
    if expect.get("silent"):
        assert expect["version"] == expect["saved_version"]
        assert (expect["writers"] == []) == expect["outside"]
    else:
        assert expect["version"] - expect["saved_version"] == len(expect["writers"]) > 0


@pytest.mark.parametrize("path", FAILING, ids=case)
def test_a_script_fails_in_backward_as_it_says(path):
    module = load(path)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as raised:
        module.run()
    said = MESSAGE.search(str(raised.value))
    expect = module.EXPECT
    assert [int(n) for n in said["shape"].split(",") if n.strip()] == expect["shape"]
    assert (int(said["saved"]), int(said["version"])) == (
        expect["saved_version"],
        expect["version"],
    )
    assert TYPES.get(said["type"], said["type"]) == expect["dtype"]


@pytest.mark.parametrize("path", SILENT, ids=case)
def test_a_silent_script_gets_a_wrong_gradient_and_no_error(path):
    got, right = load(path).run()
    assert got.shape == right.shape
    assert not torch.allclose(got, right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("loop", load(GALLERY / "healthy.py").HEALTHY, ids=lambda f: f.__name__)
def test_a_healthy_loop_runs(loop):
    run_healthy(loop, 3)

"""Every bound C++ Function of the gallery, through every row of `libgrad.check`."""

from __future__ import annotations

import pytest
from function import gallery

import libgrad

# What torch's own in-place operators cannot do either, and what docs/function.md declares.
DECLARED = {
    "triple_": {"jacfwd(jacfwd)"},  # ZeroTensors are immutable
    "exp_into": {"jacfwd(jacfwd)", "vmap of some inputs"},  # a batch does not fit into one element
    "scaled": {"export", "export backward"},  # an argument that no operator takes
}


@pytest.mark.parametrize("name", gallery.NAMES)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # torch's own
def test_check_finds_nothing_wrong(gallery_module, name):
    case = next(case for case in gallery.cases(gallery_module) if case.name == name)
    report = libgrad.check(case.ours, *gallery.vectors(case), exact=case.exact, skip="compile")
    assert {row.name for row in report.failed} == DECLARED.get(name, set()), str(report)


def test_check_names_the_intermediate_that_double_backward_misses(gallery_module):
    (x,) = gallery.vectors(gallery.cases(gallery_module)[0])
    report = libgrad.check(gallery_module.intermediate, x, only="autograd")
    assert report["backward"].status == report["gradcheck"].status == "ok"
    assert report["double backward"].status == report["gradgradcheck"].status == "wrong"
    assert "Intermediate saves an intermediate" in report["double backward"].detail


def test_check_says_how_to_map_over_a_kernel(gallery_module):
    (x,) = gallery.vectors(gallery.cases(gallery_module)[0])
    report = libgrad.check(gallery_module.raw_square, x, only=["vmap", "grad"])
    assert report["grad"].status == "ok"
    assert report["vmap"].status == "error"
    assert "libgrad::def_kernel" in report["vmap"].detail

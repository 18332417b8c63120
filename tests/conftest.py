"""Devices, dtypes and a clean slate for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import consumer
import pytest
import torch

REQUIRE_CUDA = os.environ.get("LIBGRAD_REQUIRE_CUDA") == "1"


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; without a GPU "cuda" skips, or fails under LIBGRAD_REQUIRE_CUDA=1."""
    if request.param == "cuda" and not torch.cuda.is_available():
        if REQUIRE_CUDA:
            pytest.fail("LIBGRAD_REQUIRE_CUDA=1, but torch sees no CUDA device")
        pytest.skip("no CUDA device")
    return request.param


@pytest.fixture(
    params=[torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.complex128],
    ids=lambda dtype: str(dtype).removeprefix("torch."),
)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Fixed random numbers, and every mode as it was found."""
    torch.manual_seed(0)
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()
    yield
    assert modes == (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_anomaly_enabled(),
    )


@pytest.fixture(scope="session", autouse=True)
def _cache_of_load_inline(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """What load_inline builds, kept from one run to the next in pytest's own cache."""
    cache = getattr(request.config, "cache", None)  # none under -p no:cacheprovider
    folder = cache.mkdir("libgrad") if cache else tmp_path_factory.mktemp("libgrad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIBGRAD_CACHE_DIR", str(folder))
        yield


@pytest.fixture(scope="session")
def cpp_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/cpp, built once against the installed package."""
    return consumer.build(Path(__file__).parent / "cpp", tmp_path_factory.mktemp("cpp"))


@pytest.fixture(scope="session")
def gallery_module(cpp_build: Path) -> ModuleType:
    """tests/cpp/gallery.cpp: C++ Functions of every kind."""
    return consumer.load("gallery", cpp_build)

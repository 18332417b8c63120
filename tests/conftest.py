"""Devices, dtypes and a clean slate for every test."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support import builds, consumer

import libgrad

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


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests that want a fresh Python first, and those that wait for a compiler last.

    The latter are marked.
    """
    jobs = list(builds.JOBS)
    for item in items:
        if _jobs_of(item):
            item.add_marker("builds")

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("fresh"):
            return -1
        return max((jobs.index(job) + 1 for job in _jobs_of(item)), default=0)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Skip what calls a libgrad.Function where an older torch makes it refuse."""
    try:
        yield
    except RuntimeError as error:
        if hasattr(libgrad._C, "_apply") or "libgrad.Function needs torch" not in str(error):
            raise
        pytest.skip(str(error))


def _jobs_of(item: pytest.Item) -> set[str]:
    return set(builds.JOBS) & set(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def _builds(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _cache_of_load_inline: None,
) -> Iterator[dict[str, Future[Any]]]:
    """What the tests of this run need of a compiler, done one after another meanwhile."""
    wanted = set().union(*map(_jobs_of, request.session.items))
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    yield {
        name: pool.submit(builds.run_job, name, tmp_path_factory.mktemp(name))
        for name in builds.JOBS
        if name in wanted
    }
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def docs_program(_builds: dict[str, Future[Any]]) -> Path:
    """The C++ blocks of the documentation as one program."""
    return _builds["docs_program"].result()


@pytest.fixture(scope="session")
def cpp_build(_builds: dict[str, Future[Any]]) -> Path:
    """The folder where tests/cpp was built against the installed package."""
    return _builds["cpp_build"].result()


@pytest.fixture(scope="session")
def compiled(_builds: dict[str, Future[Any]]) -> dict[str, builds.Said]:
    """What the compiler says of each header alone, and of refused.cpp."""
    return _builds["compiled"].result()


@pytest.fixture(scope="session")
def built(_builds: dict[str, Future[Any]]) -> dict[str, Path]:
    """The folder where each project of examples/ was built."""
    return _builds["built"].result()


@pytest.fixture(scope="session")
def fat(_builds: dict[str, Future[Any]]) -> dict[str, Any]:
    """What `python -m libgrad wheel` made of a new package."""
    if not builds.HAS_BACKEND:
        pytest.skip("scikit_build_core, which builds it, is not installed")
    return _builds["fat"].result()


@pytest.fixture(scope="session")
def new_package(_builds: dict[str, Future[Any]]) -> tuple[Path, dict[str, str]]:
    """A package that `new` wrote, installed, and what its README's commands printed."""
    return _builds["new_package"].result()


@pytest.fixture(scope="session")
def gallery_module(cpp_build: Path) -> ModuleType:
    """tests/cpp/function/gallery.cpp: C++ Functions of every kind."""
    return consumer.load("gallery", cpp_build)

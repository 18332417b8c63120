"""Compile C++ into a cache of shared libraries, safe among threads and processes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import _C
from .._paths import include_dir

SHOWN_LINES = 40  # of a compiler's output, in an error


def cache_dir() -> Path:
    """Return LIBGRAD_CACHE_DIR, or a folder in the user's cache."""
    given = os.environ.get("LIBGRAD_CACHE_DIR")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "libgrad"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "libgrad"


def find_compiler() -> list[str]:
    """Return the command of the C++ compiler: CXX, or the first that is on PATH."""
    given = os.environ.get("CXX")
    candidates = [shlex.split(given)] if given else [["c++"], ["g++"], ["clang++"]]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    found = (
        f"CXX is {given!r}, which cannot be run"
        if given
        else "none of c++, g++, clang++ is on PATH"
    )
    raise RuntimeError(
        f"load_inline needs a C++20 compiler, but {found}. Install one (Debian: apt install g++, "
        "Fedora: dnf install gcc-c++, conda: conda install cxx-compiler, macOS: xcode-select "
        "--install), or set CXX to its command"
    )


@dataclass(frozen=True)
class Job:
    """A library to build: the user's source, the main source that includes it, and the flags."""

    name: str
    user_source: str
    main_source: str
    cflags: tuple[str, ...]
    ldflags: tuple[str, ...]
    include_paths: tuple[str, ...]

    def command(self, compiler: Sequence[str], output: str) -> list[str]:
        """Return the one command that compiles and links."""
        torch_dir = Path(torch.__file__).parent
        lib = str(torch_dir / "lib")
        headers = torch_dir / "include"
        undefined = "-undefined,error" if sys.platform == "darwin" else "-z,defs"
        return [
            *compiler,
            *("-std=c++20", "-O1", "-fPIC", "-shared"),
            *("-fvisibility=hidden", "-fvisibility-inlines-hidden"),
            "-DAT_PER_OPERATOR_HEADERS",  # a quarter less to parse: main.cpp includes operators
            f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
            *(f"-I{os.path.abspath(path)}" for path in self.include_paths),
            *("-isystem", include_dir()),
            *("-isystem", str(headers)),
            *("-isystem", str(headers / "torch" / "csrc" / "api" / "include")),
            *self.cflags,
            *("main.cpp", "-o", output),
            *(f"-L{lib}", f"-Wl,-rpath,{lib}", "-ltorch_cpu", "-lc10"),
            f"-Wl,{undefined}",
            *self.ldflags,
        ]

    def key(self, compiler: Sequence[str]) -> str:
        """Return a digest of all that the library depends on, except the user's own headers."""
        programs = [os.path.realpath(path) for word in compiler if (path := shutil.which(word))]
        parts = [
            self.user_source,
            self.main_source,
            *self.command(compiler, ""),
            *(torch.__version__, torch.version.git_version, sys.platform, os.uname().machine),
            _C.__version__,
            *(f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}" for path in programs),
        ]
        digest = hashlib.sha256("\0".join(parts).encode())
        for header in sorted(Path(include_dir(), "libgrad").rglob("*.h")):
            digest.update(header.read_bytes())
        return digest.hexdigest()[:32]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, against threads and processes; a killed holder releases it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(job: Job, folder: Path, verbose: bool, rebuild: bool) -> Path:
    """Return the library of `job` in `folder`; compile it unless it exists."""
    compiler = find_compiler()
    stem = f"{job.name}-{job.key(compiler)}"
    library = folder / f"{stem}.so"
    if library.exists() and not rebuild:
        if verbose:
            print(f"load_inline: {library} is up to date", file=sys.stderr)
        return library
    folder.mkdir(parents=True, exist_ok=True)
    before = _identity(library)
    with _locked(folder / f"{stem}.lock"):
        if _identity(library) == before:  # else another thread or process has built it meanwhile
            _compile(job, compiler, folder / f"{stem}.build", library, verbose)
    return library


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def _compile(job: Job, compiler: list[str], scratch: Path, library: Path, verbose: bool) -> None:
    shutil.rmtree(scratch, ignore_errors=True)  # a build that was killed may have left it
    scratch.mkdir()
    user_file = f"{job.name}.cpp"
    (scratch / user_file).write_text(job.user_source, encoding="utf-8")
    (scratch / "main.cpp").write_text(job.main_source, encoding="utf-8")
    command = [*job.command(compiler, "library.so"), *_tuning(compiler)]
    if verbose:
        print(f"load_inline: {shlex.join(command)}", file=sys.stderr)
    done = subprocess.run(
        command,
        cwd=scratch,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C.UTF-8"},  # _first_errors reads English messages
    )
    if verbose and done.stderr:
        print(done.stderr, file=sys.stderr, end="")
    if done.returncode != 0:
        raise RuntimeError(
            f"load_inline: {compiler[0]} could not build {job.name!r}; line numbers of {user_file} "
            f"are those of cpp_source (its files are kept in {scratch})\n\n"
            + _first_errors(done.stderr, done.stdout)
        )
    os.replace(scratch / "library.so", library)  # atomic: nobody sees half a file
    shutil.rmtree(scratch, ignore_errors=True)


def _tuning(compiler: list[str]) -> list[str]:
    """Return flags that only save time: GCC spends a sixth of it on garbage collection."""
    done = subprocess.run([*compiler, "--version"], check=False, capture_output=True, text=True)
    if "Free Software Foundation" not in done.stdout:
        return []
    return ["--param", "ggc-min-expand=200", "--param", "ggc-min-heapsize=1000000"]  # 1 GB


def _first_errors(stderr: str, stdout: str) -> str:
    """Return the compiler's output from its first error on."""
    lines = (stderr or stdout).splitlines()
    errors = (
        i for i, line in enumerate(lines) if re.search(r"\berror\b|undefined reference", line)
    )
    first = next(errors, 0)
    shown = lines[first : first + SHOWN_LINES]
    left = len(lines) - first - len(shown)
    return "\n".join([*shown, *([f"... and {left} more lines"] if left > 0 else [])])

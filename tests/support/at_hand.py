"""Which files of torch pip would find on this machine's disk; nothing is downloaded to know.

Only of Python's own library: nox imports it where there is no torch.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

# The options for places of each kind; one that is no index has to stand for the main one.
FLAGS = {
    "index-url": "--extra-index-url",
    "extra-index-url": "--extra-index-url",
    "find-links": "--find-links",
}


def local_sources(python: str) -> list[str]:
    """Return the options for pip that name where it looks on the disk, as it is configured."""
    listed = subprocess.run(
        [python, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    options = []
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        flag = FLAGS.get(name.rpartition(".")[2])
        for place in " ".join(shlex.split(value)).split() if flag else []:
            if place.startswith("file:") or os.path.exists(place):
                options.append(f"{flag}={place}")
    return options


def file_of_torch(python: str, minor: str, sources: list[str]) -> str | None:
    """Return the URL of the file that pip would take of a minor of torch, if it is on the disk."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        subprocess.run(
            [
                *(python, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed"),
                *(f"--index-url={Path(folder).as_uri()}", *sources, f"--report={report}"),
                f"torch=={minor}.*",
            ],
            check=False,  # that there is none is an answer
            capture_output=True,
            env={**others, "PIP_CONFIG_FILE": os.devnull},
        )
        if not report.exists():
            return None
        (found,) = json.loads(report.read_text(encoding="utf-8"))["install"]
        return str(found["download_info"]["url"])

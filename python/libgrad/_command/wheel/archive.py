"""Reads a wheel into a dictionary, and writes it, so that equal wheels have equal bytes."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..callables import Unusable

__all__ = ["File", "Wheel", "read", "write"]

OLDEST_TIME = 315532800  # 1980-01-01, the oldest that a zip file can say


@dataclass(frozen=True)
class File:
    """The bytes of a file, and whether it may be executed."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True)
class Wheel:
    """A wheel without its RECORD, which is written anew."""

    name: str  # "libgrad-0.1.0", as the file's name begins
    tags: str  # "cp311-cp311-linux_x86_64", as it ends
    files: dict[str, File]

    @property
    def filename(self) -> str:
        """Return the name of the wheel's file."""
        return f"{self.name}-{self.tags}.whl"

    @property
    def info(self) -> str:
        """Return the folder of the metadata."""
        return next(path.split("/")[0] for path in self.files if path.endswith(".dist-info/WHEEL"))


def read(path: Path) -> Wheel:
    """Return what a wheel holds."""
    parts = path.stem.split("-")
    with zipfile.ZipFile(path) as archive:
        files = {
            entry.filename: File(archive.read(entry), bool(entry.external_attr >> 16 & 0o111))
            for entry in archive.infolist()
            if not entry.is_dir() and not entry.filename.endswith(".dist-info/RECORD")
        }
    wheel = Wheel("-".join(parts[:-3]), "-".join(parts[-3:]), files)
    if not any(file.endswith(".dist-info/WHEEL") for file in files):
        raise Unusable(f"{path} is no wheel: it has no .dist-info/WHEEL")
    return wheel


def _record(wheel: Wheel) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for path, file in sorted(wheel.files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(file.data).digest()).decode()
        writer.writerow([path, f"sha256={digest.rstrip('=')}", len(file.data)])
    writer.writerow([f"{wheel.info}/RECORD", "", ""])
    return out.getvalue().encode()


def write(wheel: Wheel, folder: Path) -> Path:
    """Write a wheel into a folder, its metadata last; return its path.

    All files have the time that SOURCE_DATE_EPOCH says, or 1980.
    """
    seconds = max(int(os.environ.get("SOURCE_DATE_EPOCH") or OLDEST_TIME), OLDEST_TIME)
    moment = time.gmtime(seconds)[:6]
    record = f"{wheel.info}/RECORD"
    files = {**wheel.files, record: File(_record(wheel))}
    order = sorted(files, key=lambda path: (path == record, path.startswith(wheel.info), path))
    path = folder / wheel.filename
    with zipfile.ZipFile(path, "w") as archive:
        for name in order:
            entry = zipfile.ZipInfo(name, moment)
            entry.external_attr = (0o100755 if files[name].executable else 0o100644) << 16
            entry.create_system = 3  # Unix, on every machine
            archive.writestr(entry, files[name].data, zipfile.ZIP_DEFLATED, 9)
    return path

"""Results that are whole or absent: written beside their final name, brought to disk, renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A name to write to; it is renamed to `target` when the block ends without an error.

    A crash or a power cut leaves `target` complete or as it was. Raises OSError like `open`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{_part_prefix(target)}{os.getpid()}")
    try:
        yield part
        _sync_file(part)
        part.replace(target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `target` when the block ends without an error.

    One process at a time may write a target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f"{_part_prefix(target)}*"):  # left by a killed run
        shutil.rmtree(stale)
    part = Path(tempfile.mkdtemp(prefix=_part_prefix(target), dir=target.parent))
    part.chmod(0o777 & ~_umask())
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _sync_file(file)
        if target.exists():
            aside = part.with_name(f"{part.name}.old")
            target.rename(aside)
            part.rename(target)
            shutil.rmtree(aside)
        else:
            part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_parts(target: Path) -> None:
    """Remove what killed processes left of `target`; only while no other process writes it."""
    for part in target.parent.glob(f"{_part_prefix(target)}*"):
        part.unlink()


def remove_parts_below(folder: Path) -> None:
    """Remove what killed processes left in a folder; only while no other process writes there."""
    for part in folder.rglob(".*.part-*"):
        if part.is_file():
            part.unlink()


def _part_prefix(target: Path) -> str:
    return f".{target.name}.part-"


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut (folders have no handle on Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The umask can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

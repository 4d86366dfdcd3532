"""Results that are whole or absent: written beside their final name, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `target` when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=target.parent))
    part.chmod(0o777 & ~_umask())
    try:
        yield part
        if target.exists():
            aside = part.with_name(f"{part.name}.old")
            target.rename(aside)
            part.rename(target)
            shutil.rmtree(aside)
        else:
            part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A name to write to; it is renamed to `target` when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    """The umask can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

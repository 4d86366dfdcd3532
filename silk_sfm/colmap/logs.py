"""pycolmap's log: quiet unless it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pycolmap


@contextmanager
def colmap_log(is_verbose: bool) -> Iterator[None]:
    """Let COLMAP print its log to stderr inside the block, or nothing at all."""
    before = pycolmap.logging.minloglevel
    level = pycolmap.logging.Level.INFO if is_verbose else pycolmap.logging.Level.FATAL
    pycolmap.logging.minloglevel = level.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before

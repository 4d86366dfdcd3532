"""pycolmap's log: quiet, unless the log of silk-sfm is at level DEBUG."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pycolmap

log = logging.getLogger(__name__)


@contextmanager
def colmap_log() -> Iterator[None]:
    """Let COLMAP print its log to stderr inside the block when we log everything, else nothing."""
    before = pycolmap.logging.minloglevel
    levels = pycolmap.logging.Level
    level = levels.INFO if log.isEnabledFor(logging.DEBUG) else levels.FATAL
    pycolmap.logging.minloglevel = level.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before

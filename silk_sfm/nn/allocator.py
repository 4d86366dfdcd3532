"""The C library's allocator, told to keep memory that will be asked for again.

glibc gives large blocks back to the system when they are freed. New ones then come page by page,
as zeros, which can take as long as the arithmetic of a network's layer.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""As in malloc.h."""
KEPT_BLOCK = 32 * 2**20
"""Bytes; the largest threshold that every glibc takes."""
KEPT_IN_ALL = 256 * 2**20
"""Bytes."""


def keep_freed_memory() -> None:
    """Freed blocks of up to 32 MiB stay with the process, up to 256 MiB at the end of its heap.

    Nothing happens where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL)

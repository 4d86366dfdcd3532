"""The C library's allocator, told to keep memory that will be asked for again.

glibc gives large blocks back to the system when they are freed. New ones then come page by page,
as zeros, which can take as long as the arithmetic of a network's layer.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""As in malloc.h."""
KEPT_BLOCK = 32 * 2**20
"""Bytes; the largest threshold that every glibc takes."""
KEPT_IN_ALL = 256 * 2**20
"""Bytes."""
HEAP = 64 * 2**20
"""Bytes; the heaps of threads are as large at most, and go when they are empty but for this."""


def keep_freed_memory() -> None:
    """Freed blocks of up to 32 MiB stay with the process, up to 256 MiB at the end of its heap.

    Threads that start from now on share that heap, or keep theirs where they had their own before.
    Nothing happens where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL)
        libc.mallopt(M_TOP_PAD, HEAP)
        libc.mallopt(M_ARENA_MAX, 1)

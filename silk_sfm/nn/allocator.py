"""The C library's allocator, told to keep memory that will be asked for again.

glibc gives large blocks back to the system when they are freed. New ones then come page by page,
as zeros, which can take as long as the arithmetic of a network's layer.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""As in malloc.h."""
KEPT_BLOCK = 32 * 2**20
"""Bytes; the largest threshold that every glibc takes."""
KEPT_IN_ALL = 256 * 2**20
"""Bytes."""
THREAD_HEAP = 64 * 2**20
"""Bytes; the largest heap of a thread. glibc gives an empty one back unless it is to hold as much
in reserve."""


def keep_freed_memory() -> None:
    """Freed blocks of up to 32 MiB stay with the process, up to 256 MiB at the end of its heap.

    Heaps of threads stay too, for the threads that come after them. Nothing happens where the C
    library is another one.
    """
    if _is_glibc():
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL)
        libc.mallopt(M_TOP_PAD, THREAD_HEAP)


def give_back_freed_memory() -> None:
    """What is kept goes to the system, once; nothing happens where the C library is another one."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"

"""Blocks of work on a CPU side by side, a thread each.

Many short operations that each use all cores spend their time waiting for one another, above all
when something else runs on the machine; long chains of them, one on each core, do not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
_thread = threading.local()


@dataclass(frozen=True)
class Workers:
    """`count` threads to work in; without a pool, the caller's own."""

    pool: ThreadPoolExecutor | None = None
    count: int = 1

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`work` of each item, in their order. Raises the first error of any."""
        if self.pool is None:
            return [work(item) for item in items]
        inference = torch.is_inference_mode_enabled()  # a thread of its own has its own modes

        def in_thread(item: T) -> R:
            with torch.inference_mode(inference), torch.no_grad():
                return work(item)

        return list(self.pool.map(in_thread, items))


def worker_count(most: int) -> int:
    """How many workers, at most `most`, leave the fewest of torch's threads without work.

    More than half of `most`, where torch has as many threads.
    """
    n_threads = torch.get_num_threads()
    counts = range(min(n_threads, most // 2 + 1), min(n_threads, most) + 1)
    return max(counts, key=lambda count: (n_threads // count * count, count))


@contextmanager
def as_many_workers(most: int | None = None) -> Iterator[Workers]:
    """As many workers as torch has threads, at most `most`; torch's threads are shared out to them.

    Within a worker there are no others, but its share of torch's threads. The threads end with the
    block, so that a process may be forked between two of them. A thread of somebody else's that
    uses torch for the first time meanwhile gets a share too, and keeps it.
    """
    n_threads = torch.get_num_threads()
    count = n_threads if most is None else min(n_threads, most)
    if count == 1 or getattr(_thread, "is_worker", False):
        yield Workers()
        return
    with torch_threads(n_threads // count), ThreadPoolExecutor(count, initializer=_mark) as pool:
        yield Workers(pool, count)


def _mark() -> None:
    """As the thread of a worker."""
    _thread.is_worker = True


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Torch uses `n` threads for one operation, until the block ends."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""Blocks of work on a CPU side by side, a thread each.

Many short operations that each use all cores spend their time waiting for one another, above all
when something else runs on the machine; long chains of them, one on each core, do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """As many threads as torch has, for as long as the `with` block lasts.

    Within it torch itself uses one thread. The threads end with the block, so that a process may
    be forked between two of them.
    """

    def __enter__(self) -> Workers:
        self._n_threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._n_threads) if self._n_threads > 1 else None
        if self._pool is not None:
            torch.set_num_threads(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self._n_threads)

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """`work` of each item, in their order. Raises the first error of any."""
        if self._pool is None:
            return [work(item) for item in items]
        inference = torch.is_inference_mode_enabled()  # a thread of its own has its own modes

        def in_thread(item: T) -> R:
            with torch.inference_mode(inference), torch.no_grad():
                return work(item)

        return list(self._pool.map(in_thread, items))

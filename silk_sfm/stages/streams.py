"""Reading ahead of the work and writing behind it, each in threads of its own."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from silk_sfm.errors import SilkSfmError

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V", contravariant=True)
IDLE_SECONDS = 1.0


def in_threads(
    work: Callable[[T], R], items: Iterable[T], n_threads: int, ahead: int
) -> Iterator[tuple[T, R | SilkSfmError]]:
    """(item, result) in the order of `items`, computed in threads, at most `ahead` results early.

    An error of silk-sfm comes as the result of its item; any other error is raised.
    """
    pool = ThreadPoolExecutor(n_threads)
    waiting: deque[tuple[T, Future[R | SilkSfmError]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(attempt, work, item)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def attempt(work: Callable[[T], R], item: T) -> R | SilkSfmError:
    """The result, or the error of silk-sfm that came instead."""
    try:
        return work(item)
    except SilkSfmError as error:
        return error


class Sink(Protocol[V]):
    """What `WriteBehind` writes to."""

    def add(self, key: str, value: V) -> None:
        """Take a value."""

    def flush(self) -> None:
        """Bring what was taken to the disk."""


class WriteBehind(Generic[T]):
    """Adds values to a store from a thread of its own, and saves when there is a pause.

    An error of the store is raised by the next `add` or at the end of the `with` block.
    """

    def __init__(self, store: Sink[T], room: int = 16) -> None:
        """`room`: how many values may wait before `add` waits too."""
        self._store = store
        self._queue: queue.Queue[tuple[str, T] | None] = queue.Queue(room)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="write-behind", daemon=True)

    def __enter__(self) -> WriteBehind[T]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def add(self, key: str, value: T) -> None:
        """Hand over a value."""
        self._raise()
        self._queue.put((key, value))

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._attempt(self._store.flush)
                continue
            if item is None:
                return
            key, value = item
            self._attempt(lambda key=key, value=value: self._store.add(key, value))  # type: ignore[misc]

    def _attempt(self, write: Callable[[], None]) -> None:
        """Write unless an earlier write failed; later values are taken and dropped."""
        if self._error is None:
            try:
                write()
            except BaseException as error:  # handed to the thread that adds
                self._error = error

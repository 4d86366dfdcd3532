"""Pairs in blocks: what an image needs is read once a block, however many pairs it is in."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from silk_sfm.errors import ConfigError

T = TypeVar("T")
Pair = tuple[str, str]
GIB = 2**30
FEWEST_KEPT = 2


def memory_limit(memory_gb: float) -> int:
    """Bytes of an option in GiB. Raises ConfigError when it is not above 0."""
    if not 0 < memory_gb < float("inf"):
        raise ConfigError(f"memory_gb must be above 0, got {memory_gb}.")
    return int(memory_gb * GIB)


def in_blocks(pairs: Sequence[Pair], sizes: Mapping[str, int], limit: int) -> list[Pair]:
    """The pairs in an order in which few images are read more than once.

    sizes: bytes that each image takes while it is kept; limit: bytes for all that are kept
    The images, in the order in which the list names them first, are cut into blocks that fit into
    the limit beside two more images. A pair belongs to the block of its earlier image; in a block,
    the other images come one after the other, each with all its pairs. For all pairs of n images in
    k blocks that makes about n (k + 1) / 2 readings instead of n (n - 1).
    """
    names = dict.fromkeys(name for pair in pairs for name in pair)
    rank = {name: index for index, name in enumerate(names)}
    block = _blocks(list(names), sizes, limit)

    def place(pair: Pair) -> tuple[int, int, int]:
        earlier, later = sorted(pair, key=rank.__getitem__)
        return block[earlier], rank[later], rank[earlier]

    return sorted(pairs, key=place)


def _blocks(names: Sequence[str], sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """The block of each image; one that is larger than the limit is a block of its own."""
    room = limit - 2 * max((sizes[name] for name in names), default=0)
    block: dict[str, int] = {}
    number = filled = 0
    for name in names:
        if filled and filled + sizes[name] > room:
            number, filled = number + 1, 0
        filled += sizes[name]
        block[name] = number
    return block


class Upcoming(Generic[T]):
    """Values of images, kept while they come up again, within a limit.

    The order of use is known, so what is needed last of all goes first (Belady, A study of
    replacement algorithms for a virtual-storage computer, 1966): no other way reads less. Two
    images are kept even when they exceed the limit: those of a pair.

    n_read: how many values were read so far; n_bytes: what the kept ones take
    """

    def __init__(
        self,
        uses: Iterable[str],
        read: Callable[[str], T],
        size_of: Callable[[T], int],
        limit: int,
    ) -> None:
        """uses: every name as often and in the order in which `take` will be asked for it."""
        self.n_read = 0
        self.n_bytes = 0
        self._read, self._size_of, self._limit = read, size_of, limit
        self._kept: dict[str, T] = {}
        self._uses: defaultdict[str, deque[int]] = defaultdict(deque)
        for place, name in enumerate(uses):
            self._uses[name].append(place)

    def take(self, name: str) -> T:
        """The value of the image that comes next."""
        uses = self._uses[name]
        uses.popleft()
        if name in self._kept:
            value = self._kept[name]
        else:
            value = self._read(name)
            self.n_read += 1
            self._keep(name, value)
        if not uses:
            self._drop(name)
        return value

    def _keep(self, name: str, value: T) -> None:
        self._kept[name] = value
        self.n_bytes += self._size_of(value)
        while self.n_bytes > self._limit and len(self._kept) > FEWEST_KEPT:
            others = (other for other in self._kept if other != name)
            self._drop(max(others, key=lambda other: self._uses[other][0]))

    def _drop(self, name: str) -> None:
        self.n_bytes -= self._size_of(self._kept.pop(name))

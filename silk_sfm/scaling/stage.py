"""A stage as work that can be cut into blocks, each done by the stage's own function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore
from silk_sfm.store.pieces import Piece
from silk_sfm.store.provenance import Provenance
from silk_sfm.store.shards import ShardWriter

Item = TypeVar("Item")
Writer = TypeVar("Writer", bound=ShardWriter[Any, Any])
BLOCKS_PER_WORKER = 4
"""So many at least, when there is enough to do: then all workers end at about the same time."""


class Stage(ABC, Generic[Item, Writer]):
    """A stage with everything that it reads, opened; an item is an image or a pair."""

    output: Path
    provenance: Provenance
    label: str
    """What items are called: `images`, `pairs`."""
    most_in_block: int
    """Items of a block at most: what a lost worker costs."""

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """Everything there is to do. Raises SilkSfmError when it cannot be done."""

    @abstractmethod
    def blocks(self, items: Sequence[Item], size: int) -> list[list[Item]]:
        """The items in blocks of at most `size`, whose inputs have much in common."""

    @abstractmethod
    def writer(self, overwrite: bool = False, piece: Piece | None = None) -> Writer:
        """The output, or a piece of it, to write to."""

    @abstractmethod
    def reader(self) -> FeatureStore | MatchStore | VerifiedStore:
        """The output as it is; `item in reader` says what is done."""

    @abstractmethod
    def is_done(self, item: Item, store: Writer) -> bool:
        """Is the item in a store that is being written?"""

    @abstractmethod
    def run(self, items: Sequence[Item], store: Writer, track: Track = silent) -> StageReport:
        """Do those of the items that are not yet in the store."""


class Plan(Protocol):
    """What a command was asked for: plain data that travels to other machines."""

    @property
    def output(self) -> Path:
        """The store that is made."""

    @property
    def device(self) -> str:
        """Where tensors are wanted: `auto`, `cpu`, `cuda`, ..."""

    def opened(self) -> AbstractContextManager[Stage[Any, Any]]:
        """The stage, ready to run. Raises SilkSfmError for what is missing or does not fit."""

    def on_device(self, device: str) -> Self:
        """The same plan with tensors on `device`."""

    def for_worker(self, device: str, n_cpus: int) -> Self:
        """The same plan for one of many workers, which has so many cores and is told its items."""


def block_size(n_items: int, n_workers: int, most: int) -> int:
    """How many items make a block: `most`, or fewer so that every worker gets some blocks."""
    return max(1, min(most, -(-n_items // (BLOCKS_PER_WORKER * n_workers))))


def slices(items: Sequence[Item], size: int) -> list[list[Item]]:
    """Neighbours in blocks of `size`; the last one may have fewer."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]

"""A share of a stage: what one task of an array job does, for a later run to take over."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from silk_sfm.errors import ConfigError
from silk_sfm.scaling.stage import Plan, Stage, block_size
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store.pieces import Piece, current_generation
from silk_sfm.store.shard_files import check_made_with

FLUSH_SECONDS = 60.0
"""A killed task loses at most the results of this time: hundreds of tasks make few shard files."""


@dataclass(frozen=True)
class Share:
    """The share `number` of `n_shares`; numbers count from 1."""

    number: int
    n_shares: int

    @staticmethod
    def parse(text: str) -> Share:
        """Read `3/8`. Raises ConfigError for anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"A share is I/N with I from 1 to N, like 3/8; got `{text}`.")
        return Share(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"share-{self.number}-of-{self.n_shares}"


def run_share(plan: Plan, share: Share, track: Track = silent) -> StageReport:
    """Do a share of a stage into a piece of its output; the next whole run takes it over.

    The share is the same whatever is done already. What the output or an earlier try of this share
    holds is not done again. Raises StoreError when the output was made with other settings.
    """
    with plan.opened() as stage:
        items = _items_of(share, stage)
        todo = _missing(items, stage)
        generation = current_generation(plan.output)
        piece = Piece(plan.output, str(share), generation, FLUSH_SECONDS)
        with stage.writer(piece=piece) as store:
            report = stage.run(todo, store, track)
    return replace(report, reused=len(items) - report.done - len(report.skipped))


def _items_of(share: Share, stage: Stage[Any, Any]) -> list[Any]:
    """Every n-th block."""
    items = stage.items()
    size = block_size(len(items), share.n_shares, stage.most_in_block)
    return list(chain(*stage.blocks(items, size)[share.number - 1 :: share.n_shares]))


def _missing(items: list[Any], stage: Stage[Any, Any]) -> list[Any]:
    """The items that the output does not hold."""
    if not stage.output.exists():
        return items
    check_made_with(stage.provenance, [stage.output], stage.output)
    with stage.reader() as done:
        return [item for item in items if item not in done]

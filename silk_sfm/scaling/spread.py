"""A stage on a Ray cluster: blocks to workers, and what they finished into the one store."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from silk_sfm import __version__
from silk_sfm.errors import StoreError
from silk_sfm.scaling.cluster import connected, run_blocks, slots
from silk_sfm.scaling.on_ray import OnRay
from silk_sfm.scaling.stage import Plan, Stage, block_size
from silk_sfm.scaling.worker import Assignment
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store.pieces import pieces_of
from silk_sfm.store.shards import ShardWriter

log = logging.getLogger(__name__)


def spread(
    plan: Plan, on_ray: OnRay, overwrite: bool = False, track: Track = silent
) -> StageReport:
    """Do a stage on the workers of a Ray cluster; inputs and output lie in a folder they share.

    The store is the same as without Ray, and either run goes on where the other one stopped.
    """
    with plan.on_device("cpu").opened() as stage:
        items = stage.items()
        with stage.writer(overwrite) as store:
            todo = [item for item in items if not stage.is_done(item, store)]
            if todo:
                with connected(on_ray.address):
                    reports = _on_workers(plan, on_ray, stage, store, todo, track)
            else:
                reports = [stage.run([], store)]
    return replace(
        reports[0],
        done=sum(report.done for report in reports),
        reused=len(items) - len(todo),
        found=sum(report.found for report in reports),
        skipped=tuple(chain.from_iterable(report.skipped for report in reports)),
    )


def _on_workers(
    plan: Plan,
    on_ray: OnRay,
    stage: Stage[Any, Any],
    store: ShardWriter[Any, Any],
    todo: Sequence[Any],
    track: Track,
) -> list[StageReport]:
    """What each block came to, in the order of the blocks."""
    room = slots(plan.device, on_ray.n_cpus)
    if on_ray.n_workers:
        room = replace(room, n_workers=min(on_ray.n_workers, room.n_workers))
    size = on_ray.n_items or block_size(len(todo), room.n_workers, stage.most_in_block)
    blocks = stage.blocks(todo, size)
    worker_plan = plan.for_worker(room.device, room.n_cpus)
    assignment = Assignment(worker_plan, store.generation, Path.cwd(), __version__, room.n_cpus)
    reports: dict[int, StageReport] = {}

    def taken_over() -> Iterator[Any]:
        for number, finished in run_blocks(assignment, blocks, room):
            store.adopt(finished.piece)
            reports[number] = finished.report
            yield from blocks[number]

    for _ in track(taken_over(), stage.label, len(todo)):
        pass
    _remove_leftovers(store)
    return [reports[number] for number in sorted(reports)]


def _remove_leftovers(store: ShardWriter[Any, Any]) -> None:
    """Pieces of workers that were lost: their blocks were done again, so nothing of them is new."""
    for piece in pieces_of(store.path):
        try:
            store.adopt(piece)
        except StoreError as error:  # cut off from the cluster, and still writing
            log.warning("%s The next run looks after it.", error)

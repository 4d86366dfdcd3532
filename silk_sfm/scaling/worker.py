"""A worker: one process somewhere, with its stage open, that does one block after the other."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from silk_sfm import __version__
from silk_sfm.errors import ClusterError, SilkSfmError
from silk_sfm.scaling.stage import Plan, Stage
from silk_sfm.stages.report import StageReport
from silk_sfm.stages.streams import attempt
from silk_sfm.store.hdf5 import make_folder
from silk_sfm.store.pieces import Piece, pieces_of
from silk_sfm.store.shard_files import shard_folder

MOST_ATTEMPTS = 4
"""A block that ended as many workers is given up: it is the block, not the machines."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is made for.

    generation: of the output; folder: where the command was given, for relative paths
    version: of silk-sfm there; n_cpus: cores for this worker
    """

    plan: Plan
    generation: int
    folder: Path
    version: str
    n_cpus: int


@dataclass(frozen=True)
class Finished:
    """A block that is done: the piece that holds it, and what the stage tells of it."""

    piece: Path
    report: StageReport


class Worker:
    """Does blocks of a stage, each into a piece of its own; the stage stays open in between."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._open = ExitStack()
        self._stage: Stage[Any, Any] | None = None
        with suppress(OSError):  # not every node has this folder; absolute paths do without it
            os.chdir(assignment.folder)
        cv2.setNumThreads(assignment.n_cpus)

    def run(self, number: int, items: Sequence[Any]) -> Finished | SilkSfmError:
        """Do the block `number`, or say why that is impossible."""
        return attempt(partial(self._run, number), items)

    def _run(self, number: int, items: Sequence[Any]) -> Finished:
        if self._stage is None:
            self._check_place()
        piece = self._piece(number, items)
        stage = self._opened()
        with stage.writer(piece=piece) as store:
            report = stage.run(items, store)
        return Finished(piece.path, report)

    def _opened(self) -> Stage[Any, Any]:
        if self._stage is None:
            self._stage = self._open.enter_context(self._assignment.plan.opened())
        return self._stage

    def _check_place(self) -> None:
        """Raises ClusterError when this machine cannot do what the one of the command would."""
        if self._assignment.version != __version__:
            raise ClusterError(
                f"{socket.gethostname()} has silk-sfm {__version__}, the command came from "
                f"{self._assignment.version}. Install the same version on every node."
            )
        if not self._assignment.plan.output.exists():
            raise ClusterError(
                f"{self._assignment.plan.output} is not seen from {socket.gethostname()}. Inputs "
                "and output of --ray lie in a folder that all nodes share, at the same path."
            )

    def _piece(self, number: int, items: Sequence[Any]) -> Piece:
        """A piece of its own for each attempt: a worker that is lost may still be writing.

        Its folder is there from now on, to count also when opening the stage ends the process.
        """
        output, block = self._assignment.plan.output, f"block-{number:06d}-"
        n_before = sum(piece.name.startswith(block) for piece in pieces_of(output))
        if n_before >= MOST_ATTEMPTS:
            raise ClusterError(
                f"The block from {_shown(items[0])} to {_shown(items[-1])} ended {n_before} "
                "workers, so it was given up. Run it here, without --ray, to see why."
            )
        name = f"{block}{n_before + 1}-{socket.gethostname()}-{os.getpid()}"
        piece = Piece(output, name, self._assignment.generation, math.inf)
        make_folder(shard_folder(piece.path))
        return piece


def _shown(item: Any) -> str:
    return f"`{item}`" if isinstance(item, str) else " ".join(f"`{name}`" for name in item)

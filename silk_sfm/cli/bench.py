"""`silk-sfm bench`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

from silk_sfm.benchmarking.figures import Measured, Scope
from silk_sfm.benchmarking.groups import choose_groups, measure_groups
from silk_sfm.benchmarking.table import as_json, as_table
from silk_sfm.errors import ConfigError
from silk_sfm.files import whole_file
from silk_sfm.stages.machine import describe_machine, library_versions


@dataclass(frozen=True)
class Bench:
    """Measure what silk-sfm costs, each figure beside its baseline in the same run.

    Prints one table: machine, versions, and medians of repeats that take turns with those of the
    baseline. A ratio above 1 means that silk-sfm is better.
    """

    quick: bool = False
    """Small inputs and one repeat: shows that everything runs, its numbers mean little."""
    only: Annotated[str, arg(metavar="GROUP,...")] = ""
    """Only these figures, with commas between: extraction, pairs, matching, scheduling,
    stores, verification, database, training, pipeline; all without it."""
    repeats: int = 5
    """Of each measurement; figures that take minutes are repeated less."""
    device: str = "cpu"
    """Where tensors are computed: cpu, cuda, cuda:1."""
    json: Path | None = None
    """Also write all numbers to this file."""
    folder: Path | None = None
    """Where files are written while measuring, on the disk that is to be measured; the system's
    folder for temporary files without it."""
    photos: Path | None = None
    """Photos to reconstruct, beside COLMAP's SIFT, stage by stage."""
    truth: Path | None = None
    """COLMAP model with true poses and intrinsics of --photos."""


def run(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    command = tyro.cli(Bench, prog="silk-sfm bench", args=argv)
    groups = choose_groups([name for name in command.only.split(",") if name])
    if command.repeats < 1:
        raise ConfigError(f"repeats must be 1 or more, got {command.repeats}.")
    _check_photos(command, groups)
    with tempfile.TemporaryDirectory(prefix="silk-sfm-bench-", dir=command.folder) as folder:
        scope = Scope(
            Path(folder),
            command.quick,
            command.repeats,
            command.photos,
            command.truth,
            command.device,
        )
        rows = list(_shown(measure_groups(groups, scope)))
    machine, versions = describe_machine(), library_versions()
    print(as_table(machine, versions, rows))
    if command.json is not None:
        with whole_file(command.json) as part:
            part.write_text(as_json(argv, machine, versions, rows), encoding="utf-8")
    return 0


def _check_photos(command: Bench, groups: Collection[str]) -> None:
    if (command.photos is None) != (command.truth is None):
        raise ConfigError(
            "--photos needs --truth, a COLMAP model with their true poses; give both or neither."
        )
    if command.photos is None and "pipeline" in groups and len(groups) == 1:
        raise ConfigError("The figures of `pipeline` need --photos and --truth.")


def _shown(rows: Iterable[Measured]) -> Iterator[Measured]:
    """Name each figure on stderr as soon as it is measured."""
    for row in rows:
        print(f"measured {row.figure.name}", file=sys.stderr)
        yield row

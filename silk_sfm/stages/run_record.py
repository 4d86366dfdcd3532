"""`run.json`: what every stage of a run took and skipped, kept over the runs that resume it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from silk_sfm import __version__
from silk_sfm.errors import ConfigError
from silk_sfm.files import whole_file
from silk_sfm.options import structure
from silk_sfm.stages.machine import describe_machine, library_versions
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import Costs, StageReport

FILE_NAME = "run.json"


@dataclass(frozen=True)
class StageRecord:
    """What one stage did and cost.

    items, done, reused: what the stage makes, how many it made and how many were there already
    found_items, found: what it found in those that it made
    seconds, peak_memory_mb: of the last run that made any; None when that is not known
    kept: everything was there already
    finished: when the stage ended last, ISO 8601
    skipped: inputs that could not be used, and why
    """

    items: str
    done: int
    reused: int
    found_items: str
    found: int
    seconds: float | None
    peak_memory_mb: float | None
    kept: bool = False
    finished: str = ""
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """How a reconstruction was made.

    command: as it was typed; empty when it was started from Python
    photos: folder of the photos, relative to the output when it lies inside
    stages: by name, in the order in which they ran
    stopped: `stage: error` when the last run failed
    """

    program: str
    command: str
    photos: str
    device: str
    machine: dict[str, str]
    libraries: dict[str, str]
    recipe: dict[str, Any]
    stages: dict[str, StageRecord] = field(default_factory=dict)
    stopped: str = ""

    @staticmethod
    def start(out: Path, photos: Path, recipe: Recipe, device: str, command: str) -> RunRecord:
        """The record of a run on this machine that has done nothing yet."""
        photos, root = photos.resolve(), out.resolve()
        inside = photos.is_relative_to(root)
        return RunRecord(
            program=f"silk-sfm {__version__}",
            command=command,
            photos=photos.relative_to(root).as_posix() if inside else str(photos),
            device=device,
            machine=describe_machine(),
            libraries=library_versions(),
            recipe=recipe.to_plain(),
        )

    def write(self, out: Path) -> None:
        """Write OUT/run.json; it is whole or as it was."""
        with whole_file(out / FILE_NAME) as part:
            text = json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False)
            part.write_text(text + "\n", encoding="utf-8")


def read_run(out: Path) -> RunRecord | None:
    """The record in OUT/run.json; None when there is none.

    Raises ConfigError when it is damaged or from another version.
    """
    path = out / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read {path}: {error}. Remove it.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no record of a run. Remove it.")
    return structure(RunRecord, values, f"{path} (remove it to go on)")


class RunLog:
    """Writes OUT/run.json whenever a stage ends; begins with what earlier runs left there."""

    def __init__(self, out: Path, record: RunRecord) -> None:
        """Raises ConfigError when there is a damaged record."""
        self._out = out
        earlier = read_run(out)
        self.record = replace(record, stages=dict(earlier.stages) if earlier else {})

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Remember when the stage inside the block fails or is interrupted."""
        try:
            yield
        except BaseException as error:  # memory that ran out, too: it is told and raised again
            interrupted = isinstance(error, KeyboardInterrupt)
            why = "interrupted" if interrupted else str(error) or type(error).__name__
            self.record = replace(self.record, stopped=f"{stage}: {why}")
            self.record.write(self._out)
            raise

    def ended(self, report: StageReport, costs: Costs) -> None:
        """Add a finished stage.

        One that found everything there keeps its recorded costs. One that did something makes what
        is known of the stages after it a thing of the past.
        """
        stages = dict(self.record.stages)
        before, kept = stages.get(report.stage), not report.done and report.reused > 0
        if not kept:
            names = [*stages, report.stage]
            stages = {name: stages[name] for name in names[: names.index(report.stage)]}
        made = _stage_record(report, costs) if before is None or not kept else before
        stages[report.stage] = replace(
            made,
            kept=kept,
            finished=datetime.now().astimezone().isoformat(timespec="seconds"),
            skipped={item.name: item.reason for item in report.skipped},
        )
        self.record = replace(self.record, stages=stages)
        self.record.write(self._out)


def _stage_record(report: StageReport, costs: Costs) -> StageRecord:
    """What is known of a stage when it ends; its costs only when it made something."""
    cost = costs.stages[report.stage] if report.done else {}
    return StageRecord(
        items=report.items,
        done=report.done,
        reused=report.reused,
        found_items=report.found_items,
        found=report.found,
        seconds=cost.get("seconds"),
        peak_memory_mb=cost.get("peak_memory_mb"),
    )

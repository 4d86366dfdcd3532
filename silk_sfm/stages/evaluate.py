"""A protocol on a data set for several methods: export once, then score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.protocol import EvaluationProtocol, Job, Predictions, Row
from silk_sfm.files import whole_file
from silk_sfm.stages.evaluate_export import Export, Method, make_describer
from silk_sfm.stages.evaluate_sfm import export_model
from silk_sfm.stages.report import StageReport, Track, silent

DATA_NOTE = "data.txt"
"""In a folder of predictions: where their data lies."""


def read_methods(names: Sequence[str]) -> list[Method]:
    """Recipes by name or file. Raises ConfigError when two share a name or none is given."""
    methods = [Method.read(name.strip()) for name in names if name.strip()]
    shown = [method.name for method in methods]
    if not methods or len(set(shown)) < len(shown):
        raise ConfigError(
            f"Give methods of different names, separated by commas; got `{','.join(names)}`."
        )
    return methods


@dataclass(frozen=True)
class EvaluationOptions:
    """How every protocol is run."""

    repeats: int = 3
    """Seeds of the random samples where a protocol draws some; tables show medians."""
    n_keypoints: int | None = None
    """Match the best so many keypoints of an image; None takes all that the recipe chooses."""

    def __post_init__(self) -> None:
        if self.repeats < 1 or (self.n_keypoints is not None and self.n_keypoints < 1):
            raise ConfigError("repeats and n_keypoints must be at least 1.")


@dataclass
class Evaluation:
    """Runs a protocol; stores lie in `out`/METHOD/JOB, `reports` and `exported` fill up."""

    protocol: EvaluationProtocol
    methods: Sequence[Method]
    out: Path
    options: EvaluationOptions = EvaluationOptions()
    device: str = "auto"
    overwrite: bool = False
    track: Track = silent
    reports: list[tuple[str, StageReport]] = field(default_factory=list)
    exported: list[Path] = field(default_factory=list)

    def run(self) -> list[Row]:
        """The rows of all methods and jobs, medians over the seeds."""
        seeds = range(self.options.repeats if self.protocol.seeded else 1)
        jobs = [self._with_budget(job) for job in self.protocol.jobs()]
        if any(job.keypoints is not None for job in jobs):
            for method in self.methods:
                make_describer(method, self.device)  # before hours of work for another method
        rows: list[Row] = []
        for job in jobs:
            for method in self.methods:
                predictions = self._export(job, method, seeds)
                scored = [self.protocol.score(job, predictions, seed) for seed in seeds]
                rows += median_rows(scored)
        given = getattr(self.protocol, "given", None)
        return rows if given is None else [*rows, *given()]

    def _with_budget(self, job: Job) -> Job:
        """The job with at most as many keypoints as it and the options allow."""
        budgets = [n for n in (self.options.n_keypoints, job.n_keypoints) if n is not None]
        return replace(job, n_keypoints=min(budgets, default=None))

    def _export(self, job: Job, method: Method, seeds: range) -> Predictions:
        goal = "matches" if job.goal == "model" else job.goal
        folder = self.out / method.name / job.name
        export = Export(
            replace(job, goal=goal), method, folder, self.device, self.overwrite, self.track
        )
        predictions, reports = export.run()
        self.reports += [(f"{method.name}, {job.name}", report) for report in reports]
        if job.goal == "model":
            for seed in seeds:
                export_model(job, method.recipe, predictions, seed, self.overwrite, self.track)
        write_files = getattr(self.protocol, "export", None)
        if write_files is not None:
            self.exported += write_files(job, predictions, self.out)
        return predictions


def refuse_other_data(out: Path, data: Path) -> None:
    """Raises ConfigError when `out` holds predictions on other data: images are known by name."""
    note, place = out / DATA_NOTE, str(data.resolve())
    if note.is_file() and (before := note.read_text("utf-8").strip()) != place:
        raise ConfigError(
            f"{out} holds predictions on {before}, not on {place}. Give another --out; if the data "
            f"was only moved, delete {note}."
        )


def note_data(out: Path, data: Path) -> None:
    """Note in `out` which data its predictions are of."""
    with whole_file(out / DATA_NOTE) as part:
        part.write_text(f"{data.resolve()}\n", "utf-8")


def median_rows(by_seed: Sequence[Sequence[Row]]) -> list[Row]:
    """One row for the rows of all seeds that share a key, with the median of each metric."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for rows in by_seed:
        for row in rows:
            groups.setdefault(row.key, []).append(row)
    return [
        replace(group[0], metrics=_medians([row.metrics for row in group]), repeats=len(group))
        for group in groups.values()
    ]


def _medians(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.median([each[name] for each in metrics])) for name in metrics[0]}

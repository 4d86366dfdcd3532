"""Photos to trained weights: the stage behind `silk-sfm train`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from silk_sfm import __version__
from silk_sfm.errors import ConfigError
from silk_sfm.files import remove_parts_below, whole_file
from silk_sfm.nn.devices import resolve_device
from silk_sfm.nn.state import file_digest
from silk_sfm.options import result_options
from silk_sfm.stages.report import Skipped, Track, silent
from silk_sfm.stages.training_pictures import training_pictures
from silk_sfm.store.lock import WriterLock
from silk_sfm.training.albums import Album, Source
from silk_sfm.training.checkpoints import BEST, LAST, WEIGHTS, Checkpoints, Progress, Ranked
from silk_sfm.training.learner import Learner
from silk_sfm.training.logs import Display, Logs, open_log, remove_logs
from silk_sfm.training.loop import Photos, train
from silk_sfm.training.photos import Library
from silk_sfm.training.processes import Process, joined
from silk_sfm.training.recipe import Training
from silk_sfm.training.silk import SilkTraining

SETTINGS = "train.json"
BEFORE_ANY = -1
"""Step of the last line of a log that keeps none."""


@dataclass(frozen=True)
class TrainingJob:
    """What is trained, on what, and where it is written.

    sources: photos to learn from
    folder: holds `last.pt` (the state), `best/` (the best checkpoints), `weights.safetensors` (a
        copy of the very best, what `--weights` takes), `log.jsonl` and `train.json` (the
        settings that decide the result)
    validation: photos to validate with; None: a share of the photos of `sources`
    device: a name that `--device` takes
    licence: of the weights, as their file will say
    display: where figures and pictures are shown besides `log.jsonl` and `pictures/`
    """

    sources: tuple[Source, ...]
    folder: Path
    training: Training = field(default_factory=SilkTraining)
    validation: Source | None = None
    device: str = "auto"
    licence: str = "not stated"
    display: Display = "files"


@dataclass(frozen=True)
class TrainingReport:
    """What a training came to.

    iterations: how many are done, of how many
    best: the best checkpoint by validation, None before the first one
    score: the figure that it is the best by
    n_photos: learned from; n_validation: validated with
    skipped: photos that could not be read
    leads: is this the process that wrote?
    """

    iterations: tuple[int, int]
    best: Ranked | None
    score: str
    n_photos: int
    n_validation: int
    skipped: tuple[Skipped, ...]
    leads: bool

    def __str__(self) -> str:
        done, planned = self.iterations
        parts = [f"train: {done} of {planned} iterations on {self.n_photos} photos"]
        if self.best:
            parts.append(
                f"validation {self.score} {self.best.score:.3f} at iteration {self.best.iteration} "
                f"({self.n_validation} photos)"
            )
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped")
        return ", ".join(parts)


def train_network(
    job: TrainingJob, overwrite: bool = False, track: Track = silent
) -> TrainingReport:
    """Train the network of a method, or go on where an earlier call stopped.

    Processes that torchrun started train together; the first one writes.
    Raises TrainingError when training goes wrong or the folder belongs to another training,
    StoreError when another process writes the folder, ImageError when no photo can be read.
    """
    device = _training_device(job.device)
    with joined(device) as process:
        if not process.leads:
            return _train(job, process, device, overwrite, track)
        job.folder.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(job.folder, job.folder)
        lock.acquire()
        try:
            return _train(job, process, device, overwrite, track)
        finally:
            lock.release()


def _training_device(name: str) -> str:
    """The torch device behind a name; views and correspondences are float64, which MPS lacks."""
    device = resolve_device(name)
    if device != "mps":
        return device
    if name == "mps":
        raise ConfigError("Training computes in float64, which `mps` cannot. Use --device cpu.")
    return "cpu"


def _prepare(folder: Path, overwrite: bool) -> None:
    """Remove what killed runs left; with `overwrite`, all that trainings wrote and nothing else."""
    remove_parts_below(folder)
    if not overwrite:
        return
    for name in (LAST, WEIGHTS, SETTINGS):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / BEST, ignore_errors=True)
    remove_logs(folder)


def _train(
    job: TrainingJob, process: Process, device: str, overwrite: bool, track: Track
) -> TrainingReport:
    training = job.training
    device = process.device(device)
    network = training.first_network().to(device)
    photos = _libraries(job, device)
    method = training.method(network)
    learner = Learner(network, method, training, process)
    settings = _settings(job, photos, process)
    if process.leads:  # nothing is removed for a training that cannot begin
        _prepare(job.folder, overwrite)
    process.wait()
    checkpoints = Checkpoints(
        job.folder,
        settings,
        _exporter(job, method.score),
        method.score,
        training.schedule.keep,
        process,
    )
    observer = _Observer(job, settings, learner, photos, track, process)
    try:
        progress = train(learner, photos, training.schedule, checkpoints, observer)
    finally:
        observer.close()
    return _report(job, photos, progress, method.score, process.leads)


def _libraries(job: TrainingJob, device: str) -> Photos:
    album = Album.of(job.sources, job.folder)
    if job.validation is None:
        album, kept = album.split(job.training.photos.validation_share)
    else:
        kept = Album.of([job.validation], job.folder)
    options, seed = job.training.photos, job.training.schedule.seed
    return Photos(
        Library(album, options, device, seed), Library(kept, options, device, seed, ahead=False)
    )


def _settings(job: TrainingJob, photos: Photos, process: Process) -> dict[str, Any]:
    """What must be the same for a resume."""
    settings = {"method": job.training.name, **result_options(job.training)}
    if job.training.start:
        settings["start_digest"] = file_digest(job.training.start)
    settings["photos"]["training"] = photos.training.album.digest
    settings["photos"]["validation"] = photos.validation.album.digest
    return {**settings, "processes": process.count}


def _write_settings(job: TrainingJob, settings: Mapping[str, Any]) -> None:
    """Leave beside the weights how they came about."""
    told = {
        "silk_sfm": __version__,
        "torch": torch.__version__,
        "sources": [{"path": str(source.path), "weight": source.weight} for source in job.sources],
        "validation": str(job.validation.path) if job.validation else None,
        **settings,
    }
    with whole_file(job.folder / SETTINGS) as part:
        part.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _exporter(job: TrainingJob, score: str) -> Callable[[nn.Module, Path, Ranked], None]:
    """Writes weights with a card that says how they came about."""
    start, schedule = job.training.start, job.training.schedule

    def export(network: nn.Module, path: Path, ranked: Ranked) -> None:
        origin = f", started from {start.name}" if start else ""
        training = (
            f"silk-sfm train: {ranked.iteration} iterations of {schedule.pairs} pairs with "
            f"{schedule.cells} x {schedule.cells} cells{origin}; "
            f"validation {score} {ranked.score:.4f}"
        )
        card = {"licence": job.licence, "training": training}
        job.training.save(network, path, card)

    return export


class _Observer:
    """Logs and shows a bar; only the first process does."""

    def __init__(
        self,
        job: TrainingJob,
        settings: Mapping[str, Any],
        learner: Learner,
        photos: Photos,
        track: Track,
        process: Process,
    ) -> None:
        self._job = job
        self._settings = settings
        self._learner = learner
        self._photos = photos
        self._track = track if process.leads else silent
        self._leads = process.leads
        self._log = Logs()

    def started(self, progress: Progress) -> None:
        """Write the settings, now that they are known to fit the folder, and open the log."""
        if not self._leads:
            return
        _write_settings(self._job, self._settings)
        # A run that was killed before its first save validates step 0 again.
        last = progress.iteration or BEFORE_ANY
        self._log = open_log(self._job.folder, last, self._job.display)

    def iterations(self, first: int, last: int) -> Iterable[int]:
        """The numbers that are left, with a bar."""
        return self._track(range(first, last), "iterations", last - first)

    def close(self) -> None:
        """End the log."""
        self._log.close()

    def trained(self, progress: Progress, figures: Mapping[str, float]) -> None:
        """Log the means."""
        self._log.scalars(progress.iteration, _named("train", figures))

    def validated(self, progress: Progress, figures: Mapping[str, float]) -> None:
        """Log the means, and what the network sees."""
        self._log.scalars(progress.iteration, _named("validation", figures))
        if self._leads:
            self._show(progress.iteration)

    def _show(self, iteration: int) -> None:
        """Log what the network sees in the first validation pair."""
        views = self._learner.validation_views(0, *self._photos.validation.stack(0))
        for name, pixels in training_pictures(self._learner.look(views)).items():
            self._log.picture(iteration, name, pixels)


def _named(group: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/{name}": value for name, value in figures.items()}


def _report(
    job: TrainingJob, photos: Photos, progress: Progress, score: str, leads: bool
) -> TrainingReport:
    broken = {**photos.training.unreadable, **photos.validation.unreadable}
    return TrainingReport(
        (progress.iteration, job.training.schedule.iterations),
        progress.best[0] if progress.best else None,
        score,
        len(photos.training.readable),
        len(photos.validation.readable),
        tuple(Skipped(path.name, one.reason) for path, one in sorted(broken.items())),
        leads,
    )

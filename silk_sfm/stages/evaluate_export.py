"""What a method predicts for the job of an evaluation, in ordinary stores that a rerun reuses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.protocol import Job, Predictions
from silk_sfm.features import LocalFeatures
from silk_sfm.images import Photo
from silk_sfm.plugins import Describer
from silk_sfm.stages.extract import extract, extraction_provenance
from silk_sfm.stages.match import match, matching_provenance
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store import FeatureStore, FeatureWriter, MatchWriter, Precision, Provenance


@dataclass(frozen=True)
class Method:
    """A recipe under the name that tables show."""

    name: str
    recipe: Recipe

    @staticmethod
    def read(name: str) -> Method:
        """A recipe that comes with silk-sfm, or a TOML file, which is named by its stem."""
        return Method(Path(name).stem if name.endswith(".toml") else name, Recipe.read(name))


@dataclass(frozen=True)
class Export:
    """Runs stages for a job; everything lies below `folder`."""

    job: Job
    method: Method
    folder: Path
    device: str = "auto"
    overwrite: bool = False
    track: Track = silent

    def run(self) -> tuple[Predictions, list[StageReport]]:
        """Features and matches that are not there yet; goals beyond are another module's."""
        if self.job.keypoints is not None:
            return Predictions(self.method.name, self.folder), [self._describe(self.job.keypoints)]
        reports = [self._extract()]
        folder = self.folder
        if self.job.n_keypoints is not None:
            folder = self._choose_best(self.job.n_keypoints)
        predictions = Predictions(self.method.name, folder)
        if self.job.goal == "matches":
            reports.append(self._match(predictions))
        return predictions, reports

    def _extract(self) -> StageReport:
        recipe = self.method.recipe
        extractor = recipe.extractor.make("extractors", self.device)
        made = extraction_provenance(recipe.extractor, extractor.weights_digest, recipe.extraction)
        path, precision = self.folder / "features.h5", recipe.extraction.precision
        with FeatureWriter(path, made, self.overwrite, precision) as store:
            report = extract(self.job.images, extractor, store, recipe.extraction, self.track)
        self._refuse_skipped(report)
        return report

    def _refuse_skipped(self, report: StageReport) -> None:
        """A mean over fewer images would not be comparable."""
        if report.skipped:
            first = report.skipped[0]
            raise DatasetError(
                f"{self.method.name} cannot use {len(report.skipped)} images of "
                f"{self.job.images.root}, the first is {first.name}: {first.reason}"
            )

    def _match(self, predictions: Predictions) -> StageReport:
        chosen = self.method.recipe.matcher
        matcher = chosen.make("matchers", self.device)
        with FeatureStore(predictions.features) as features:
            made = matching_provenance(chosen, features)
            with MatchWriter(predictions.matches, made, self.overwrite) as store:
                return match(self.job.pairs, features, matcher, store, self.track)

    def _choose_best(self, n_keypoints: int) -> Path:
        """A folder with a store of the best keypoints of every image."""
        folder = self.folder / f"best_{n_keypoints}"
        precision = self.method.recipe.extraction.precision
        best_features(
            self.folder / "features.h5",
            folder / "features.h5",
            n_keypoints,
            self.job.images.names,
            precision,
            self.overwrite,
        )
        return folder

    def _describe(self, keypoints: Mapping[str, np.ndarray]) -> StageReport:
        """Descriptors at given points, in their order."""
        recipe = self.method.recipe
        describer = make_describer(self.method, self.device)
        made = extraction_provenance(recipe.extractor, describer.weights_digest, recipe.extraction)
        made.inputs["keypoints"] = _digest(keypoints)
        names = self.job.images.names
        with FeatureWriter(self.folder / "features.h5", made, self.overwrite, "float32") as store:
            todo = [name for name in names if name not in store]
            for name in self.track(todo, "images", len(todo)):
                photo = self.job.images.read(name, describer.channels, recipe.extraction.max_size)
                store.add(name, _described(describer, photo, keypoints[name]))
        found = sum(len(keypoints[name]) for name in todo)
        return StageReport("describe", "images", len(todo), len(names) - len(todo), found, "points")


def make_describer(method: Method, device: str) -> Describer:
    """The extractor of a method. Raises ConfigError when it cannot describe given points."""
    chosen, extraction = method.recipe.extractor, method.recipe.extraction
    if extraction.turns or extraction.has_scales:
        raise ConfigError(
            f"Given points are described upright and at scale 1; {method.name} says otherwise. "
            "Leave `turns` and `scales` out of its recipe."
        )
    describer = chosen.make("extractors", device)
    if not isinstance(describer, Describer):
        raise ConfigError(
            f"The extractor `{chosen.name}` of {method.name} cannot describe given points (it has "
            "no `describe`). Leave it out of --methods."
        )
    return describer


def best_features(
    source: Path,
    target: Path,
    n_keypoints: int,
    names: Sequence[str],
    precision: Precision,
    overwrite: bool = False,
) -> None:
    """Write a store of the keypoints of highest score of each image, in their order there."""
    with FeatureStore(source) as features:
        before = features.provenance.options if features.provenance else {}
        options = {**before, "n_keypoints": n_keypoints}
        made = Provenance("best", options, {"features": features.digest})
        with FeatureWriter(target, made, overwrite, precision) as store:
            for name in names:
                if name not in store:
                    found = features[name]
                    best = np.argsort(-found.scores, kind="stable")[:n_keypoints]
                    store.add(name, found.select(np.sort(best)))


def _described(describer: Describer, photo: Photo, keypoints: np.ndarray) -> LocalFeatures:
    return LocalFeatures(
        keypoints=keypoints,
        scores=np.ones(len(keypoints), np.float32),
        descriptors=describer.describe(photo.pixels, photo.grid.to_input(keypoints)),
        image_size=photo.grid.raw_size,
    )


def _digest(keypoints: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(keypoints):
        digest.update(name.encode() + keypoints[name].tobytes())
    return digest.hexdigest()[:32]

"""A folder of photos to a COLMAP model: all stages, each a file that the next run reuses."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from silk_sfm import __version__
from silk_sfm.colmap.mapping import OnImage
from silk_sfm.errors import ReconstructionError, StoreError
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.stages.build import ModelReport, build_model, undistort_model, write_summary
from silk_sfm.stages.extract import extract, extraction_provenance
from silk_sfm.stages.match import match, matching_provenance
from silk_sfm.stages.pair import make_pairs
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import Costs, Skipped, StageReport, Track, silent
from silk_sfm.stages.run_record import RunLog, RunRecord
from silk_sfm.stages.verify import trusted_cameras, verification_provenance, verify
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    VerifiedStore,
    VerifiedWriter,
)


@dataclass(frozen=True)
class Workspace:
    """The files of a reconstruction below one folder."""

    root: Path

    @property
    def features(self) -> Path:
        """Feature store."""
        return self.root / "features.h5"

    @property
    def pairs(self) -> Path:
        """Pair list."""
        return self.root / "pairs.txt"

    @property
    def matches(self) -> Path:
        """Match store."""
        return self.root / "matches.h5"

    @property
    def verified(self) -> Path:
        """Verified store."""
        return self.root / "verified.h5"

    def make(self) -> None:
        """Create the folder. Raises StoreError when that is not allowed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Cannot create {self.root}: {error.strerror}.") from error


@dataclass
class Reconstruction:
    """Runs the stages of a recipe one after the other; `reports` and `costs` fill up on the way.

    command: what was typed, for run.json
    """

    images: ImageFolder
    out: Path
    recipe: Recipe
    device: str = "auto"
    overwrite: bool = False
    track: Track = silent
    on_image: OnImage | None = None
    reports: list[StageReport] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)
    pairs: PairList | None = None
    command: str = ""

    @property
    def files(self) -> Workspace:
        """Where everything lies."""
        return Workspace(self.out)

    @property
    def skipped(self) -> list[Skipped]:
        """Inputs that could not be used."""
        return [skipped for report in self.reports for skipped in report.skipped]

    def run(self, undistort: bool = False) -> ModelReport:
        """All stages; raises ReconstructionError when there is no model."""
        self.files.make()
        log = self._log()
        for stage in (self.extract, self.match, self.verify):
            with log.running(stage.__name__):
                self.reports.append(stage())
            log.ended(self.reports[-1], self.costs)
        with log.running("map"):
            report = self.map()
        log.ended(report.stage, self.costs)
        write_summary(self.out, report, self._summary())
        if undistort:
            with log.running("undistort"), self.costs.measured("undistort"):
                undistort_model(self.images, self.out)
            n_images = report.numbers.n_images
            log.ended(StageReport("undistort", "photos", n_images, 0, 0, ""), self.costs)
            write_summary(self.out, report, self._summary())
        return report

    def extract(self) -> StageReport:
        """Photos to features.h5."""
        options = self.recipe.extraction
        with self.costs.measured("extract"):
            extractor = self.recipe.extractor.make("extractors", self.device)
            made = extraction_provenance(self.recipe.extractor, extractor.weights_digest, options)
            path = self.files.features
            with FeatureWriter(path, made, self.overwrite, options.precision) as store:
                return extract(self.images, extractor, store, options, self.track)

    def match(self) -> StageReport:
        """features.h5 to pairs.txt and matches.h5."""
        with self.costs.measured("match"), FeatureStore(self.files.features) as features:
            wanted = set(self.images.names)
            names = [name for name in features.names if name in wanted]
            if len(names) < 2:
                raise ReconstructionError(
                    f"Only {len(names)} of {len(self.images.names)} images in {self.images.root} "
                    "can be used. A model needs at least two."
                )
            pairs = self.pairs = make_pairs(names, self.recipe.pairs, features, self.images.root)
            pairs.write(self.files.pairs)
            matcher = self.recipe.matcher.make("matchers", self.device)
            made = matching_provenance(self.recipe.matcher, features)
            with MatchWriter(self.files.matches, made, self.overwrite) as store:
                return match(pairs, features, matcher, store, self.track, self.recipe.matching)

    def verify(self) -> StageReport:
        """matches.h5 to verified.h5."""
        options = self.recipe.verification
        with (
            self.costs.measured("verify"),
            FeatureStore(self.files.features) as features,
            MatchStore(self.files.matches) as matches,
        ):
            cameras = trusted_cameras(features, self.recipe.cameras.intrinsics)
            made = verification_provenance(
                self.recipe.verifier, options, features, matches, cameras
            )
            verifier = self.recipe.verifier.make("verifiers", "cpu")
            with VerifiedWriter(self.files.verified, made, self.overwrite) as store:
                return verify(
                    features,
                    matches,
                    verifier,
                    store,
                    options,
                    cameras.by_name,
                    self.track,
                    self.pairs,
                )

    def map(self) -> ModelReport:
        """verified.h5 to database.db, sparse/0 and points.ply."""
        with (
            self.costs.measured("map"),
            FeatureStore(self.files.features) as features,
            VerifiedStore(self.files.verified) as verified,
        ):
            return build_model(
                self.images,
                features,
                verified,
                self.out,
                self.recipe.cameras,
                self.recipe.mapping,
                self.overwrite,
                self.on_image,
                self.pairs,
            )

    def _log(self) -> RunLog:
        photos = self.images.root
        record = RunRecord.start(self.out, photos, self.recipe, self.device, self.command)
        return RunLog(self.out, record)

    def _summary(self) -> dict[str, Any]:
        return {
            "stages": self.costs.stages,
            "skipped": {skipped.name: skipped.reason for skipped in self.skipped},
            "recipe": self.recipe.to_plain(),
            "device": self.device,
            "program": f"silk-sfm {__version__}",
            "python": platform.python_version(),
        }

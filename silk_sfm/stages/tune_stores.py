"""The stores of a sweep: one extraction for each view, subsets and matches beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from silk_sfm.errors import ImageError
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.stages.evaluate_export import best_features
from silk_sfm.stages.extract import extract, extraction_provenance
from silk_sfm.stages.match import match, matching_provenance
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import Track
from silk_sfm.stages.tune_choices import Choice
from silk_sfm.stages.verify import (
    TrustedCameras,
    trusted_cameras,
    verification_provenance,
    verify,
)
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    VerifiedStore,
    VerifiedWriter,
)


@dataclass(frozen=True)
class Sample:
    """The pairs that are tried, and their images."""

    images: ImageFolder
    pairs: Sequence[tuple[str, str]]

    @property
    def names(self) -> list[str]:
        """Images that occur in a pair, sorted."""
        return PairList(tuple(self.pairs)).names


@dataclass(frozen=True)
class Found:
    """The stores of one choice."""

    features: Path
    matches: Path
    verified: Path


class Stores:
    """Fills the stores of choices; what is there is kept."""

    def __init__(
        self,
        sample: Sample,
        out: Path,
        base: Recipe,
        most_keypoints: int | None,
        intrinsics: Path | None,
        device: str,
        overwrite: bool,
        track: Track,
    ) -> None:
        self._sample = sample
        self._out = out
        self._base = base
        self._most = most_keypoints
        self._intrinsics = intrinsics
        self._device = device
        self._track = track
        self._anew: set[Path] | None = set() if overwrite else None
        self._extractor = cache(self._make_extractor)

    def images_todo(self, choice: Choice) -> list[str]:
        """Images of the sample that the view of a choice lacks."""
        with self._writer(choice) as store:
            return [name for name in self._sample.names if name not in store]

    def extract(self, choice: Choice, names: Sequence[str] | None = None) -> None:
        """Features of the sample (or of `names`) with the largest number of keypoints.

        Raises ImageError when an image cannot be used.
        """
        wanted = tuple(self._sample.names if names is None else names)
        images = ImageFolder(self._sample.images.root, wanted)
        recipe = self._widest(choice)
        with self._writer(choice) as store:
            report = extract(
                images, self._extractor(choice.weights), store, recipe.extraction, self._track
            )
        for skipped in report.skipped:
            raise ImageError(f"{skipped.name} cannot be used for tuning: {skipped.reason}")

    def pairs_todo(self, choice: Choice) -> list[tuple[str, str]]:
        """Pairs of the sample without a geometry of this choice."""
        path = self._found(choice).verified
        starts_anew = self._anew is not None and path not in self._anew
        if starts_anew or not path.exists():
            return list(self._sample.pairs)
        with VerifiedStore(path) as store:
            return [pair for pair in self._sample.pairs if pair not in store]

    def verify(self, choice: Choice, pairs: PairList) -> Found:
        """The matches of `pairs` and their geometries."""
        found = self._found(choice)
        if found.features != self._features(choice):
            self._choose(choice, pairs.names, found.features)
        self._fill(choice, pairs, found)
        return found

    def try_pair(self, choice: Choice) -> None:
        """Match and verify the first pair and keep nothing of it, to see how long that takes."""
        with TemporaryDirectory() as folder:
            matches, verified = (Path(folder) / f"{name}.h5" for name in ("matches", "verified"))
            found = Found(self._features(choice), matches, verified)
            self._fill(choice, PairList(tuple(self._sample.pairs[:1])), found)

    def _fill(self, choice: Choice, pairs: PairList, found: Found) -> None:
        recipe = choice.recipe(self._base)
        with FeatureStore(found.features) as features:
            made = matching_provenance(recipe.matcher, features)
            with MatchWriter(found.matches, made, self._is_new(found.matches)) as matches:
                match(pairs, features, recipe.matcher.make("matchers", self._device), matches)
            self._verify(recipe, features, pairs, found)

    def cameras(self, features: FeatureStore) -> TrustedCameras:
        """Known cameras: those of the ground truth."""
        return trusted_cameras(features, self._intrinsics)

    def _verify(
        self, recipe: Recipe, features: FeatureStore, pairs: PairList, found: Found
    ) -> None:
        options = recipe.verification
        with MatchStore(found.matches) as matches:
            cameras = self.cameras(features)
            made = verification_provenance(recipe.verifier, options, features, matches, cameras)
            verifier = recipe.verifier.make("verifiers", "cpu")
            with VerifiedWriter(found.verified, made, self._is_new(found.verified)) as store:
                known = cameras.by_name
                verify(features, matches, verifier, store, options, known, chosen=pairs)

    def _choose(self, choice: Choice, names: Sequence[str], path: Path) -> None:
        """Fill the store of a smaller number of keypoints."""
        if choice.top_k is not None:
            precision = self._base.extraction.precision
            best_features(
                self._features(choice), path, choice.top_k, names, precision, self._is_new(path)
            )

    def _writer(self, choice: Choice) -> FeatureWriter:
        recipe = self._widest(choice)
        digest = self._extractor(choice.weights).weights_digest
        made = extraction_provenance(recipe.extractor, digest, recipe.extraction)
        path = self._features(choice)
        return FeatureWriter(path, made, self._is_new(path), recipe.extraction.precision)

    def _widest(self, choice: Choice) -> Recipe:
        """The recipe of the extraction, whose best keypoints serve all smaller numbers."""
        return replace(choice, top_k=self._most).recipe(self._base)

    def _make_extractor(self, weights: str | None) -> Any:
        choice = Choice(1, self._most, weights, None, None)
        return choice.recipe(self._base).extractor.make("extractors", self._device)

    def _features(self, choice: Choice) -> Path:
        return self._out / choice.view / "features.h5"

    def _found(self, choice: Choice) -> Found:
        folder = self._out / choice.view
        if choice.top_k is not None and choice.top_k != self._most:
            folder = folder / f"best_{choice.top_k}"
        matching = f"{choice.matcher_threshold}"
        return Found(
            folder / "features.h5",
            folder / f"matches_{matching}.h5",
            folder / f"verified_{matching}_{choice.verifier_threshold_px}.h5",
        )

    def _is_new(self, path: Path) -> bool:
        """With overwrite: is this the first time that the store is opened?"""
        if self._anew is None or path in self._anew:
            return False
        self._anew.add(path)
        return True

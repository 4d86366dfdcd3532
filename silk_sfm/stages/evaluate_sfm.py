"""Models for the job of an evaluation: one per seed, from features and matches that all share."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

from silk_sfm.errors import ReconstructionError
from silk_sfm.evaluation.protocol import Job, Predictions
from silk_sfm.stages.build import ModelReport, build_model, write_summary
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import Track, silent
from silk_sfm.stages.verify import trusted_cameras, verification_provenance, verify
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore, VerifiedWriter

log = logging.getLogger(__name__)


def export_model(
    job: Job,
    recipe: Recipe,
    predictions: Predictions,
    seed: int,
    overwrite: bool = False,
    track: Track = silent,
) -> ModelReport | None:
    """Verify the matches and build a model in `predictions.model(seed)`, both with this seed.

    A run again keeps what is there. None when no model can be made: that is a result too.
    """
    recipe = replace(
        recipe,
        cameras=replace(recipe.cameras, intrinsics=job.intrinsics),
        verification=replace(recipe.verification, seed=seed),
        mapping=replace(recipe.mapping, seed=seed),
    )
    folder = predictions.model(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        FeatureStore(predictions.features) as features,
        MatchStore(predictions.matches) as matches,
    ):
        _verify(job, recipe, features, matches, folder / "verified.h5", overwrite, track)
        with VerifiedStore(folder / "verified.h5") as verified:
            return _build(job, recipe, features, verified, folder, overwrite)


def _verify(
    job: Job,
    recipe: Recipe,
    features: FeatureStore,
    matches: MatchStore,
    path: Path,
    overwrite: bool,
    track: Track,
) -> None:
    options = recipe.verification
    verifier = recipe.verifier.make("verifiers", "cpu")
    cameras = trusted_cameras(features, job.intrinsics)
    made = verification_provenance(recipe.verifier, options, features, matches, cameras)
    with VerifiedWriter(path, made, overwrite) as store:
        verify(features, matches, verifier, store, options, cameras.by_name, track, job.pairs)


def _build(
    job: Job,
    recipe: Recipe,
    features: FeatureStore,
    verified: VerifiedStore,
    folder: Path,
    overwrite: bool,
) -> ModelReport | None:
    try:
        report = build_model(
            job.images,
            features,
            verified,
            folder,
            recipe.cameras,
            recipe.mapping,
            overwrite,
            chosen=job.pairs,
        )
    except ReconstructionError as error:
        log.warning("%s: no model: %s", folder, error)
        shutil.rmtree(folder / "sparse", ignore_errors=True)  # it is of other settings
        return None
    write_summary(folder, report, {"recipe": recipe.to_plain()})
    return report

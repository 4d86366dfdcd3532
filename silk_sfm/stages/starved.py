"""Why there is no model: the first stage that gave too little to the next one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from silk_sfm.store import FeatureStore, VerifiedStore

FEW_KEYPOINTS = 100
FEW_MATCHES = 30


def starved_stage(
    features: FeatureStore,
    verified: VerifiedStore,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> str:
    """Two sentences: which stage starved, with its numbers, and what to try."""
    keypoints = [features.count(name) for name in names]
    if np.median(keypoints) < FEW_KEYPOINTS:
        return (
            f"Extraction starved: {np.median(keypoints):.0f} keypoints in a typical image. Try a "
            "larger --max-size, a larger top-k, and photos that are sharp and not blank."
        )
    if not pairs:
        return "Pairing starved: no pair was verified. Give more photos or another --pairing."
    geometries = [verified[pair] for pair in pairs]
    best_tentative = max(geometry.n_tentative for geometry in geometries)
    if best_tentative < FEW_MATCHES:
        return (
            f"Matching starved: at most {best_tentative} matches in a pair. Try photos that "
            "overlap more, --scales 1 0.7 0.5 when they are from different distances, or a lower "
            "matcher threshold."
        )
    n_verified = sum(len(geometry.inliers) > 0 for geometry in geometries)
    if n_verified == 0:
        return (
            f"Verification starved: of {len(pairs)} pairs none has enough inliers, with up to "
            f"{best_tentative} matches. Try a larger verifier threshold, or fewer minimum inliers."
        )
    return (
        f"Mapping starved: {n_verified} of {len(pairs)} pairs are verified, but none of them "
        "could start a model. Try photos taken from places further apart, or --intrinsics."
    )

"""Gathers what a report tells from stores and models."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from silk_sfm.colmap.model import Model, read_model
from silk_sfm.colmap.observed import Observations, read_observations
from silk_sfm.errors import ReconstructionError
from silk_sfm.reporting.findings import Findings, ImageFinding, PairTable, Sources
from silk_sfm.reporting.status import Evidence
from silk_sfm.stages.origin import check_origin
from silk_sfm.stages.report import Track
from silk_sfm.store import FeatureStore, VerifiedStore


def gather(sources: Sources, track: Track) -> Findings:
    """Read everything but the photos.

    Raises ReconstructionError when no source names an image, StoreError or ReconstructionError
    when a source cannot be read, StoreError when the pairs were made from other features.
    """
    largest = sources.models[0] if sources.models else None
    model = read_model(largest) if largest else None
    observed = read_observations(largest) if largest else None
    others = [frozenset(read_model(path).names) for path in sources.models[1:]]
    skipped = _skipped(sources)
    with ExitStack() as stack:
        path = sources.features
        features = stack.enter_context(FeatureStore(path)) if path else None
        counts = None
        if features is not None:
            counts = {name: features.count(name) for name in features.names}
        names = sorted(set().union(counts or (), observed or (), skipped, *others))
        if not names:
            raise ReconstructionError(
                f"Nothing to report in {sources.title}: no image has features or is in a model. "
                "Give the folder that `silk-sfm reconstruct` wrote."
            )
        pairs = read_pairs(sources, features, names, track)
        evidence = Evidence(names, observed, others, counts, pairs, skipped)
        images = tuple(_image(index, evidence, features, model) for index in range(len(names)))
    sizes = (len(observed), *map(len, others)) if observed is not None else ()
    return Findings(sources, images, pairs, model, sizes)


def read_pairs(
    sources: Sources, features: FeatureStore | None, names: list[str], track: Track
) -> PairTable | None:
    """The pairs of the verified store; None without one."""
    if sources.verified is None:
        return None
    index = {name: row for row, name in enumerate(names)}
    with VerifiedStore(sources.verified) as store:
        if features is not None:
            check_origin(features, store)
        pairs = store.pairs(names)
        rows = np.zeros((len(pairs), 4), np.int64)
        for row, pair in enumerate(track(pairs, "pairs", len(pairs))):
            rows[row] = *(index[name] for name in pair), *store.counts(pair)
    return PairTable(*rows.T)


def _skipped(sources: Sources) -> dict[str, str]:
    """Why images could not be used; only extraction skips images."""
    extraction = sources.run.stages.get("extract") if sources.run else None
    return dict(extraction.skipped) if extraction else {}


def _image(
    index: int, evidence: Evidence, features: FeatureStore | None, model: Model | None
) -> ImageFinding:
    name = evidence.names[index]
    status, why = evidence.of(index)
    observed = evidence.observed.get(name) if evidence.observed else None
    if features is not None and name in features:
        size: tuple[int, int] | None = features.image_size(name)
    else:
        size = model.cameras[name].size if model and name in model.cameras else None
    return ImageFinding(
        name=name,
        status=status,
        why=why,
        n_keypoints=_n_keypoints(name, evidence, observed),
        size=size,
        observed=observed,
    )


def _n_keypoints(name: str, evidence: Evidence, observed: Observations | None) -> int | None:
    if evidence.n_keypoints is not None and name in evidence.n_keypoints:
        return evidence.n_keypoints[name]
    return observed.n_keypoints if observed else None

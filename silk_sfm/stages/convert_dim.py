"""Stores to files of deep-image-matching, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from silk_sfm.errors import StoreError
from silk_sfm.stages.origin import check_origin, check_output
from silk_sfm.store import FeatureStore, FeatureWriter, MatchStore, MatchWriter, Provenance
from silk_sfm.store.deep_image_matching import (
    file_digest,
    read_dim_features,
    read_dim_matches,
    write_dim_features,
    write_dim_matches,
)

FEATURES, MATCHES = "features.h5", "matches.h5"
SOURCE = "deep-image-matching"


@dataclass(frozen=True)
class Converted:
    """What was written."""

    n_images: int
    n_pairs: int

    def __str__(self) -> str:
        return f"{self.n_images} images, {self.n_pairs} pairs"


def export_dim(
    features: FeatureStore, matches: MatchStore, out: Path, overwrite: bool = False
) -> Converted:
    """Write OUT/features.h5 and OUT/matches.h5; `matches` may be a verified store.

    Raises StoreError when there are such files, when the stores do not belong together or when two
    images have the same file name.
    """
    for name in (FEATURES, MATCHES):
        check_output(out / name, features.path, matches.path)
    check_origin(features, matches)
    if not overwrite and ((out / FEATURES).exists() or (out / MATCHES).exists()):
        raise StoreError(f"{out} holds features.h5 or matches.h5. Add --overwrite to replace them.")
    write_dim_features(features, out / FEATURES)
    return Converted(len(features), write_dim_matches(matches, features.names, out / MATCHES))


def import_dim(source: Path, features: Path, matches: Path, overwrite: bool = False) -> Converted:
    """Read SOURCE/features.h5 and SOURCE/matches.h5 into a feature and a match store.

    Raises StoreError when a file is missing or damaged, or names keypoints that do not exist, or
    when a store was made from other files.
    """
    for output in (features, matches):
        check_output(output, source / FEATURES, source / MATCHES)
    counts: dict[str, int] = {}
    made = Provenance(SOURCE, {}, {FEATURES: file_digest(source / FEATURES)})
    with FeatureWriter(features, made, overwrite, "float32") as feature_store:
        for name, found in read_dim_features(source / FEATURES):
            counts[name] = len(found)
            if name not in feature_store:
                feature_store.add(name, found)
    with FeatureStore(features) as written:
        inputs = {"features": written.digest, MATCHES: file_digest(source / MATCHES)}
    n_pairs = 0
    with MatchWriter(matches, Provenance(SOURCE, {}, inputs), overwrite) as match_store:
        for (a, b), pair_matches in read_dim_matches(source / MATCHES):
            indices = pair_matches.indices
            if (
                indices.min(initial=0) < 0
                or (indices >= (counts.get(a, 0), counts.get(b, 0))).any()
            ):
                raise StoreError(
                    f"{source / MATCHES}: `{a}` and `{b}` have matches of keypoints that are not "
                    f"in {FEATURES}. The two files are of different runs."
                )
            if not match_store.has_pair((a, b)):
                match_store.add_pair((a, b), pair_matches, counts[a])
            n_pairs += 1
    return Converted(len(counts), n_pairs)

"""Do two stores belong together, and is neither of them the output?"""

from __future__ import annotations

from pathlib import Path

from silk_sfm.errors import StoreError
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore


def check_output(output: Path, *inputs: Path) -> None:
    """Raises StoreError when `output` is one of `inputs`, which --overwrite would clear."""
    for path in inputs:
        if output.resolve() == path.resolve():
            raise StoreError(f"{output} is read here. Choose another file to write.")


def check_origin(features: FeatureStore, pairs: MatchStore | VerifiedStore) -> None:
    """Raises StoreError when `pairs` was made from other features.

    Stores of other programs do not say what they were made from: they are taken as they are.
    """
    if features.provenance is None or pairs.provenance is None:
        return
    if pairs.provenance.inputs.get("features") != features.digest:
        raise StoreError(
            f"{pairs.path} was made from other features than {features.path}. Run the stage that "
            "made it again, or give the feature store from which it was made."
        )

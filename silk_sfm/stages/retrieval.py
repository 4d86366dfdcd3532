"""Pairs of images that look alike, by COLMAP's vocabulary tree on their descriptors."""

from __future__ import annotations

from collections.abc import Sequence

from silk_sfm.colmap.retrieval import VocabularyOptions, similar_images
from silk_sfm.pairs import PairList
from silk_sfm.store import FeatureStore

FEWEST_WORDS, WORDS_PER_IMAGE, MOST_WORDS = 1024, 4, 4096
"""Size of the vocabulary: more images make longer lists, more words take longer to learn."""


def retrieve_pairs(names: Sequence[str], features: FeatureStore, n_similar: int) -> PairList:
    """Each of `names` with its `n_similar` most similar images; no image with itself.

    Each pair comes once, in the order of `names`. When every image may have every other one, these
    are all pairs and nothing is searched. Raises ReconstructionError when descriptors are too long
    or too few.
    """
    if n_similar >= len(names) - 1:
        return PairList.exhaustive(names)
    n_words = min(max(FEWEST_WORDS, WORDS_PER_IMAGE * len(names)), MOST_WORDS)
    options = VocabularyOptions(n_similar, n_words)
    similar = similar_images(names, features.__getitem__, options)
    place = {name: index for index, name in enumerate(names)}
    found = {
        (min(place[name], place[other]), max(place[name], place[other]))
        for name, others in similar.items()
        for other in others
    }
    return PairList(tuple((names[a], names[b]) for a, b in sorted(found)))

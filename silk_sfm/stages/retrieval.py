"""Pairs of images that look alike: by a vocabulary tree, by VLAD, or by vectors from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from silk_sfm.colmap.retrieval import VocabularyOptions, similar_images
from silk_sfm.errors import PairError
from silk_sfm.matching.alike import most_alike
from silk_sfm.matching.vlad import learn_vocabulary
from silk_sfm.pair_rows import PairRows, all_rows, listed_rows
from silk_sfm.pairs import PairList
from silk_sfm.store import FeatureStore, read_global_descriptors

Ranking = Callable[[Sequence[str], Sequence[int], int], list[list[int]]]
"""Of all names, the numbers of those asked for, how many: for each the most similar, best first."""
ComparedBy = Literal["vocabulary", "vlad", "file"]
FEWEST_WORDS, WORDS_PER_IMAGE, MOST_WORDS = 1024, 4, 4096
"""Size of the vocabulary tree: more images make longer lists, more words take longer to learn."""
VLAD_WORDS, VLAD_SIZE = 64, 512
N_FEATURES = 2000
"""Descriptors used per image, those with the best scores."""
N_LEARNED = 1000
"""Images, evenly from all, that VLAD's words and axes are learned from."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What images are compared by: the descriptors in `features`, or vectors in a `file`."""

    by: ComparedBy
    features: FeatureStore | None = None
    file: Path | None = None


def retrieve_pairs(
    names: Sequence[str], features: FeatureStore, n_similar: int, by: ComparedBy = "vocabulary"
) -> PairList:
    """Each of `names` with the `n_similar` images that look most like it, as `similar_rows`."""
    return PairList.of_rows(names, similar_rows(names, Looks(by, features), n_similar))


def similar_rows(names: Sequence[str], looks: Looks, n_similar: int) -> PairRows:
    """Each image with the `n_similar` images that look most like it, as `similar_pairs`.

    When every image may have every other one, these are all pairs and nothing is searched.
    """
    _ranking(looks)  # raises before anything is searched or not
    if n_similar >= len(names) - 1:
        return all_rows(len(names))
    return listed_rows(len(names), similar_pairs(names, looks, n_similar, range(len(names))))


def similar_pairs(
    names: Sequence[str], looks: Looks, n_similar: int, queries: Sequence[int], beyond: int = 0
) -> np.ndarray:
    """(M, 2) int64: each of `queries` with each of the `n_similar` images that look most like it.

    queries: numbers of images; none is paired with itself
    beyond: images up to so many places before or after do not count; the next best take their place

    Raises PairError or ReconstructionError when descriptors are missing, too long or too few,
    StoreError when the file of vectors lacks some.
    """
    rank = _ranking(looks)
    if len(names) < 2:
        return np.zeros((0, 2), np.int64)
    found = rank(names, queries, n_similar + 2 * beyond)
    pairs: list[tuple[int, int]] = []
    for i, others in zip(queries, found, strict=True):
        pairs += [(i, j) for j in others if abs(i - j) > beyond][:n_similar]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _ranking(looks: Looks) -> Ranking:
    """What finds alike images. Raises PairError when there is nothing to compare by."""
    if looks.by == "file":
        if looks.file is None:
            raise PairError("Retrieval by file needs a file with `global_descriptors`.")
        return partial(_by_file, looks.file)
    if looks.features is None:
        raise PairError("Retrieval compares descriptors: give a feature store, not photos.")
    return partial(_by_vlad if looks.by == "vlad" else _by_vocabulary, looks.features)


def _by_file(
    file: Path, names: Sequence[str], asked: Sequence[int], n_similar: int
) -> list[list[int]]:
    vectors = torch.from_numpy(read_global_descriptors(file, names))
    return _as_lists(most_alike(vectors, torch.tensor(asked, dtype=torch.int64), n_similar))


def _by_vocabulary(
    features: FeatureStore, names: Sequence[str], asked: Sequence[int], n_similar: int
) -> list[list[int]]:
    n_words = min(max(FEWEST_WORDS, WORDS_PER_IMAGE * len(names)), MOST_WORDS)
    options = VocabularyOptions(n_similar, n_words, N_FEATURES)
    queries = [names[i] for i in asked]
    similar = similar_images(names, features.__getitem__, options, queries)
    place = {name: index for index, name in enumerate(names)}
    return [[place[other] for other in similar[name]] for name in queries]


def _by_vlad(
    features: FeatureStore, names: Sequence[str], asked: Sequence[int], n_similar: int
) -> list[list[int]]:
    """An image without descriptors finds nobody and nobody finds it."""
    vectors, described = _vlad_vectors(names, features)
    place = {i: row for row, i in enumerate(described)}
    able = [i for i in asked if i in place]
    queries = torch.tensor([place[i] for i in able], dtype=torch.int64)
    rows = _as_lists(most_alike(vectors, queries, n_similar))
    found = {i: [described[j] for j in row] for i, row in zip(able, rows, strict=True)}
    return [found.get(i, []) for i in asked]


def _vlad_vectors(names: Sequence[str], features: FeatureStore) -> tuple[torch.Tensor, list[int]]:
    """(I, S) vectors of the images that have descriptors, and the (I,) numbers of these images."""
    described = [i for i, name in enumerate(names) if features.count(name) > 0]
    if not described:
        raise PairError(f"No image in {features.path} has descriptors. Extract with other options.")

    def read(name: str) -> torch.Tensor:
        return torch.from_numpy(features[name].best(N_FEATURES).descriptors)

    step = -(-len(described) // N_LEARNED)
    learned = [names[i] for i in described[::step]]
    generator = torch.Generator().manual_seed(0)
    vocabulary = learn_vocabulary(read, learned, VLAD_WORDS, VLAD_SIZE, generator)
    return torch.stack([vocabulary.vector(read(names[i])) for i in described]), described


def _as_lists(found: torch.Tensor) -> list[list[int]]:
    rows: list[list[int]] = found.tolist()
    return rows

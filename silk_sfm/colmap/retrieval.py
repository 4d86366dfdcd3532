"""Which images look alike: COLMAP's vocabulary tree, built from the images' own descriptors."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from silk_sfm.colmap.cameras import CameraAssignment, simple_camera
from silk_sfm.colmap.database import add_images
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.errors import ReconstructionError
from silk_sfm.features import LocalFeatures

TREE_SIZES = (128, 256)
"""Descriptor lengths that COLMAP has trees for; shorter ones are filled up with zeros, which
changes no distance."""
EMBEDDED_SIZE = 64
TRAINED_PER_WORD = 40
"""Descriptors that each word of the tree is learned from; its k-means asks for 39."""
ONE_THREAD = 1
"""Each thread draws random numbers of its own: only one gives the same result every time."""
KIND = pycolmap.FeatureExtractorType.ALIKED_N16ROT
"""Trees hold descriptors of known methods only; this is one with 128 float numbers."""


@dataclass(frozen=True)
class VocabularyOptions:
    """How alike images are found.

    n_similar: images returned for each image, besides itself
    n_words: at most so many visual words; fewer when there are few descriptors
    n_features: descriptors used per image, those with the best scores
    """

    n_similar: int
    n_words: int = 1024
    n_features: int = 2000


def similar_images(
    names: Sequence[str],
    features: Callable[[str], LocalFeatures],
    options: VocabularyOptions,
    queries: Sequence[str] | None = None,
) -> dict[str, list[str]]:
    """For each of `queries` the most similar of `names`, best first; at most `n_similar` of them.

    queries: some of `names`; all of them without it

    Raises ReconstructionError when descriptors are longer than COLMAP's trees can hold, or when
    there are too few of them to build a tree.
    """
    with tempfile.TemporaryDirectory() as folder, colmap_log():
        database, tree = Path(folder) / "database.db", Path(folder) / "tree.bin"
        with pycolmap.Database.open(database) as opened:
            with pycolmap.DatabaseTransaction(opened):
                ids = _write_features(opened, names, features, options.n_features)
            _build_tree(_training_sample(opened, ids, options), options).write(tree)
            asked = [ids[name] for name in (names if queries is None else queries)]
            pairs = _query(opened, tree, asked, options)
    name_of = {image_id: name for name, image_id in ids.items()}
    similar: dict[str, list[str]] = {name_of[image_id]: [] for image_id in asked}
    for query, found in pairs:
        if query != found and len(similar[name_of[query]]) < options.n_similar:
            similar[name_of[query]].append(name_of[found])
    return similar


def _write_features(
    database: pycolmap.Database,
    names: Sequence[str],
    features: Callable[[str], LocalFeatures],
    n_features: int,
) -> dict[str, int]:
    """Write images with their best features; returns the ids of the images."""
    camera = simple_camera("SIMPLE_PINHOLE", (1, 1), 1.0, "guess")  # retrieval reads none
    ids = add_images(database, names, CameraAssignment((camera,), dict.fromkeys(names, 0)))
    for name, image_id in ids.items():
        best = features(name).best(n_features)
        descriptors = pycolmap.FeatureDescriptorsFloat(KIND, filled_up(best.descriptors))
        database.write_keypoints(image_id, best.keypoints)
        database.write_descriptors(image_id, descriptors.to_bytes())
    return ids


def filled_up(descriptors: np.ndarray) -> np.ndarray:
    """(N, D) float32 -> (N, 128 or 256) with zeros behind. Raises ReconstructionError above 256."""
    size = descriptors.shape[1]
    fitting = [tree for tree in TREE_SIZES if tree >= size]
    if not fitting:
        raise ReconstructionError(
            f"Retrieval works on descriptors of at most {TREE_SIZES[-1]} numbers, these have "
            f"{size}. Compare the images by `--retrieval-by vlad`, or pair them in another way."
        )
    return np.pad(descriptors, ((0, 0), (0, fitting[0] - size)))


def _training_sample(
    database: pycolmap.Database, ids: dict[str, int], options: VocabularyOptions
) -> np.ndarray:
    """(N, D) float32: evenly from all images, enough for `n_words`."""
    quota = -(-options.n_words * TRAINED_PER_WORD // max(len(ids), 1))
    rng = np.random.default_rng(0)
    parts: list[np.ndarray] = []
    for image_id in ids.values():
        descriptors = database.read_descriptors(image_id).to_float().data
        parts.append(descriptors[rng.permutation(len(descriptors))[:quota]])
    return np.concatenate(parts)


def _build_tree(descriptors: np.ndarray, options: VocabularyOptions) -> pycolmap.VisualIndex:
    n_words = min(options.n_words, len(descriptors) // TRAINED_PER_WORD)
    if n_words < 1:
        raise ReconstructionError(
            f"Only {len(descriptors)} descriptors in all images, too few to find alike ones. "
            "Use exhaustive pairs."
        )
    tree = pycolmap.VisualIndex.create(descriptors.shape[1], EMBEDDED_SIZE)
    building = pycolmap.VisualIndex.BuildOptions()
    building.num_visual_words = n_words
    building.num_iterations, building.num_rounds = 20, 1
    building.num_threads = ONE_THREAD
    pycolmap.set_random_seed(0)
    with _faiss_silenced():
        tree.build(building, pycolmap.FeatureDescriptorsFloat(KIND, descriptors))
    return tree


def _query(
    database: pycolmap.Database, tree: Path, asked: Sequence[int], options: VocabularyOptions
) -> list[tuple[int, int]]:
    """(query, found) image ids, for each query the most similar image first."""
    pairing = pycolmap.VocabTreePairingOptions(
        vocab_tree_path=str(tree),
        num_images=options.n_similar + 1,  # an image finds itself too
        num_threads=ONE_THREAD,
    )
    return list(pycolmap.VocabTreePairGenerator(pairing, database, asked).all_pairs())


@contextmanager
def _faiss_silenced() -> Iterator[None]:
    """Hide a warning of faiss on a small quantiser: it goes to file descriptor 2, not to a log."""
    sys.stderr.flush()
    before = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from silk_sfm.colmap.retrieval import VocabularyOptions, filled_up, similar_images
from silk_sfm.errors import ReconstructionError
from silk_sfm.features import LocalFeatures

NAMES = [f"image {index}.jpg" for index in range(12)]


def chain(
    size: int = 128, n_features: int = 400, noise: float = 0.4
) -> Callable[[str], LocalFeatures]:
    """Images along a path: each shares half of its landmarks with the next one."""
    rng = np.random.default_rng(0)
    landmarks = rng.normal(size=(n_features // 2 * (len(NAMES) + 1), size))
    landmarks /= np.linalg.norm(landmarks, axis=1, keepdims=True)

    def features(name: str) -> LocalFeatures:
        first = NAMES.index(name) * (n_features // 2)
        seen = landmarks[first : first + n_features]
        seen = seen + rng.normal(size=seen.shape) * noise / np.sqrt(size)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        keypoints = rng.uniform(0, 100, (n_features, 2)).astype(np.float32)
        scores = np.ones(n_features, np.float32)
        return LocalFeatures(keypoints, scores, seen.astype(np.float32), (100, 100))

    return features


def neighbours(name: str) -> set[str]:
    index = NAMES.index(name)
    return {NAMES[other] for other in (index - 1, index + 1) if 0 <= other < len(NAMES)}


@pytest.mark.parametrize("size", [64, 128, 200, 256])
def test_neighbours_on_a_path_are_found(size: int) -> None:
    similar = similar_images(NAMES, chain(size), VocabularyOptions(2))
    for name in NAMES:
        assert neighbours(name) <= set(similar[name])
        assert name not in similar[name]
        assert len(similar[name]) <= 2


def test_the_same_every_time_and_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    once, again = (similar_images(NAMES, chain(), VocabularyOptions(5)) for _ in range(2))
    assert once == again
    assert capfd.readouterr().err == ""
    os.write(2, b"heard")  # stderr is back
    assert capfd.readouterr().err == "heard"


def test_only_the_best_features_count() -> None:
    clean = chain()

    def with_noise(name: str) -> LocalFeatures:
        """As many bad features before the good ones; they are the same in all images."""
        good = clean(name)
        bad = np.eye(128, dtype=np.float32)[np.arange(len(good)) % 128]
        return LocalFeatures(
            np.concatenate([good.keypoints, good.keypoints]),
            np.concatenate([good.scores * 0, good.scores]),
            np.concatenate([bad, good.descriptors]),
            good.image_size,
        )

    best = similar_images(NAMES, with_noise, VocabularyOptions(2, n_features=400))
    assert all(neighbours(name) <= set(best[name]) for name in NAMES)


def test_an_image_without_features_is_like_none() -> None:
    features = chain()

    def one_empty(name: str) -> LocalFeatures:
        return LocalFeatures.empty(128, (100, 100)) if name == NAMES[3] else features(name)

    similar = similar_images(NAMES, one_empty, VocabularyOptions(2))
    assert similar[NAMES[3]] == []
    assert all(NAMES[3] not in others for others in similar.values())


def test_zeros_fill_up() -> None:
    descriptors = np.ones((2, 100), np.float32)
    full = filled_up(descriptors)
    assert full.shape == (2, 128)
    np.testing.assert_array_equal(full.sum(axis=1), [100, 100])
    assert filled_up(np.ones((0, 256), np.float32)).shape == (0, 256)


def test_error_texts() -> None:
    with pytest.raises(ReconstructionError) as caught:
        filled_up(np.ones((1, 512), np.float32))
    assert str(caught.value) == (
        "Retrieval works on descriptors of at most 256 numbers, these have 512. "
        "Compare the images by `--retrieval-by vlad`, or pair them in another way."
    )
    with pytest.raises(ReconstructionError) as caught:
        similar_images(NAMES, chain(n_features=2), VocabularyOptions(2))
    assert str(caught.value) == (
        "Only 24 descriptors in all images, too few to find alike ones. Use exhaustive pairs."
    )

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared

from silk_sfm import plugins
from silk_sfm.errors import ConfigError, StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
from silk_sfm.matchers.mutual import Mutual, MutualOptions
from silk_sfm.plugins import Matcher

MATCHERS = (Mutual(MutualOptions()), DoubleSoftmax(DoubleSoftmaxOptions()))


def features(descriptors: np.ndarray) -> LocalFeatures:
    n = len(descriptors)
    return LocalFeatures(
        keypoints=np.zeros((n, 2), np.float32),
        scores=np.ones(n, np.float32),
        descriptors=descriptors.astype(np.float32),
        image_size=(640, 480),
    )


def random_features(n: int, seed: int, size: int = 64) -> LocalFeatures:
    descriptors = np.random.default_rng(seed).normal(size=(n, size))
    return features(descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True))


def recorded_features(name: str) -> tuple[LocalFeatures, LocalFeatures]:
    recorded = np.load(shared("reference", "matching.npz"))
    return features(recorded[f"{name}/desc_0"]), features(recorded[f"{name}/desc_1"])


@pytest.mark.parametrize("matcher", MATCHERS)
def test_shuffled_keypoints_are_found_again(matcher: Matcher) -> None:
    a = random_features(300, seed=0)
    order = np.random.default_rng(1).permutation(300)
    matches = matcher(a, a.select(order))
    np.testing.assert_array_equal(matches.indices[:, 0], np.arange(300))
    np.testing.assert_array_equal(order[matches.indices[:, 1]], np.arange(300))
    assert matches.scores.min() > 0.5


@pytest.mark.parametrize("matcher", MATCHERS)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_at_most_one_match_for_each_keypoint(matcher: Matcher, n_a: int, n_b: int) -> None:
    matches = matcher(random_features(n_a, seed=n_a), random_features(n_b, seed=100 + n_b))
    assert isinstance(matches, Matches)
    assert (np.diff(matches.indices[:, 0]) > 0).all(), "sorted by the keypoint of image a"
    assert len(np.unique(matches.indices[:, 1])) == len(matches)
    assert len(matches) <= min(n_a, n_b)


@pytest.mark.parametrize("matcher", MATCHERS)
def test_empty(matcher: Matcher) -> None:
    some, none = random_features(5, seed=0), LocalFeatures.empty(64, (640, 480))
    for a, b in ((some, none), (none, some), (none, none)):
        assert len(matcher(a, b)) == 0


@pytest.mark.parametrize("matcher", MATCHERS)
def test_read_only_descriptors_are_fine(matcher: Matcher) -> None:
    a = random_features(5, seed=0)
    a.descriptors.setflags(write=False)
    assert len(matcher(a, a)) == 5


@pytest.mark.parametrize("matcher", MATCHERS)
def test_descriptors_that_cannot_be_matched(matcher: Matcher) -> None:
    good, other_size = random_features(5, seed=0), random_features(5, seed=0, size=32)
    with pytest.raises(ConfigError, match=r"image a have 64 numbers, those of image b 32; match"):
        matcher(good, other_size)
    for bad in (np.nan, np.inf):
        broken = good.descriptors.copy()
        broken[3, 7] = bad
        for pair in ((features(broken), good), (good, features(broken))):
            with pytest.raises(StoreError, match="descriptors hold NaN or infinity; extract the"):
                matcher(*pair)


@pytest.mark.parametrize(
    ("options", "changed", "message"),
    [
        (MutualOptions, {"ratio": 0.0}, r"ratio must lie in \(0, 1\], got 0\.0\."),
        (MutualOptions, {"ratio": 1.1}, r"ratio must lie in \(0, 1\], got 1\.1\."),
        (DoubleSoftmaxOptions, {"temperature": 0.0}, r"temperature must be above 0, got 0\.0\."),
        (DoubleSoftmaxOptions, {"threshold": 1.0}, r"threshold must lie in \[0, 1\), got 1\.0\."),
        (DoubleSoftmaxOptions, {"threshold": -0.1}, r"threshold must lie in \[0, 1\), got -0\.1\."),
        (DoubleSoftmaxOptions, {"descriptor_scale": -1.0}, "descriptor_scale must be above 0"),
    ],
)
def test_options_are_checked(options: type, changed: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options(**changed)


def test_are_found_as_plugins() -> None:
    assert plugins.load("matchers", "mutual") is Mutual
    assert plugins.load("matchers", "double-softmax") is DoubleSoftmax
    assert all(isinstance(matcher, plugins.Matcher) for matcher in MATCHERS)


def test_descriptor_scale_stands_for_longer_descriptors() -> None:
    a, b = random_features(50, seed=0), random_features(60, seed=1)
    longer = [features(1.41 * side.descriptors) for side in (a, b)]
    scaled = DoubleSoftmax(DoubleSoftmaxOptions(threshold=0.01))(a, b)
    unscaled = DoubleSoftmax(DoubleSoftmaxOptions(threshold=0.01, descriptor_scale=1.0))(*longer)
    np.testing.assert_array_equal(scaled.indices, unscaled.indices)
    np.testing.assert_allclose(scaled.scores, unscaled.scores, atol=2e-5)


@pytest.mark.parametrize(
    "name", ["random", "correlated", "clustered", "one_candidate", "identical"]
)
@pytest.mark.parametrize("ratio", ["0.6", "0.8", "0.9", "0.95", "1.0"])
def test_mutual_matches_as_recorded(name: str, ratio: str) -> None:
    recorded = np.load(shared("reference", "matching.npz"))
    matches = Mutual(MutualOptions(ratio=float(ratio)))(*recorded_features(name))
    np.testing.assert_array_equal(matches.indices, recorded[f"{name}/ratio-test/{ratio}/matches"])
    if ratio == "1.0":
        distances = recorded[f"{name}/ratio-test/1.0/distances"]
        np.testing.assert_allclose(1 - matches.scores, distances, atol=2e-5)


@pytest.mark.parametrize(
    "name", ["random", "correlated", "clustered", "one_candidate", "identical"]
)
@pytest.mark.parametrize("distance", ["0.5", "0.9", "0.99"])
def test_double_softmax_matches_as_recorded(name: str, distance: str) -> None:
    recorded = np.load(shared("reference", "matching.npz"))
    options = DoubleSoftmaxOptions(threshold=1 - float(distance), descriptor_scale=1.0)
    matches = DoubleSoftmax(options)(*recorded_features(name))
    case = f"{name}/double-softmax/T0.1/{distance}"
    np.testing.assert_array_equal(matches.indices, recorded[f"{case}/matches"])
    np.testing.assert_allclose(1 - matches.scores, recorded[f"{case}/distances"], atol=2e-5)

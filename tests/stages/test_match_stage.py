"""The match stage: the same matches in any order and with any memory, each image read once."""

import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from silk_sfm.benchmarking.stores import some_features
from silk_sfm.errors import ConfigError, PairError, StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
from silk_sfm.matchers.mutual import Mutual, MutualOptions
from silk_sfm.pairs import PairList
from silk_sfm.plugins import About, GatheringMatcher, Matcher, PreparingMatcher
from silk_sfm.stages.blocks import GIB
from silk_sfm.stages.match import MatchingOptions, match
from silk_sfm.store import FeatureStore, FeatureWriter, MatchStore, MatchWriter, Provenance

MADE = Provenance("test", {}, {})
NAMES = [f"sub/{i}.jpg" for i in range(9)]
PAIRS = list(combinations(NAMES, 2))
N_POINTS, SIZE = 60, 32
ONE_IMAGE = N_POINTS * SIZE * 4 / GIB
MATCHERS = [Mutual(MutualOptions(ratio=0.95)), DoubleSoftmax(DoubleSoftmaxOptions(threshold=0.1))]


class Plain:
    """A matcher without `prepare`, as third parties may have them."""

    about: ClassVar[About] = About(summary="Mutual.", licence="Apache-2.0")

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        return MATCHERS[0](a, b)


class Gathering(Mutual):
    """Wants five pairs at a time; knows how many filled images and pairs it got in each call."""

    pairs_together = 5

    def __init__(self) -> None:
        super().__init__(MATCHERS[0].options)
        self.calls: list[tuple[int, int]] = []

    def match_many(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> list[Matches]:
        images = {id(image) for pair in pairs for image in pair if len(image)}
        self.calls.append((len(images), len(pairs)))
        return [self.match(a, b) for a, b in pairs]


class Counting(FeatureStore):
    """Counts the images read."""

    n_read = 0

    def __getitem__(self, name: str) -> LocalFeatures:
        self.n_read += 1
        return super().__getitem__(name)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that see the same points, each with noise and in an order of its own; one is empty."""
    path = tmp_path_factory.mktemp("features") / "f.h5"
    rng = np.random.default_rng(0)
    points = rng.normal(size=(N_POINTS, SIZE))
    with FeatureWriter(path, MADE) as store:
        for name in NAMES[:-1]:
            seen = points[rng.permutation(N_POINTS)] + 0.4 * rng.normal(size=points.shape)
            seen /= np.linalg.norm(seen, axis=1, keepdims=True)
            xy, scores = rng.uniform(0, 99, (N_POINTS, 2)), rng.uniform(size=N_POINTS)
            arrays = [array.astype(np.float32) for array in (xy, scores, seen)]
            store.add(name, LocalFeatures(*arrays, (100, 100)))  # type: ignore[arg-type]
        store.add(NAMES[-1], LocalFeatures.empty(SIZE, (100, 100)))
    return path


def matched(
    features: Path,
    out: Path,
    matcher: Matcher,
    pairs: list[tuple[str, str]],
    options: MatchingOptions,
) -> dict[tuple[str, str], Matches]:
    with FeatureStore(features) as store, MatchWriter(out, MADE) as writer:
        report = match(PairList(tuple(pairs)), store, matcher, writer, options=options)
        assert report.done == len(pairs)
    with MatchStore(out) as store_of_matches:
        return {pair: store_of_matches[pair] for pair in pairs}


@pytest.mark.parametrize("matcher", [*MATCHERS, Plain()])
@pytest.mark.parametrize(("memory", "threads"), [(1, 1), (3.5, 3), (100, 0), (100, 50)])
def test_same_matches_as_pair_by_pair(
    features: Path, tmp_path: Path, matcher: Matcher, memory: float, threads: int
) -> None:
    pairs = [pair[::-1] if i % 3 else pair for i, pair in enumerate(PAIRS)]
    random.Random(int(memory)).shuffle(pairs)
    n_torch = torch.get_num_threads()
    options = MatchingOptions(memory * ONE_IMAGE, threads)
    found = matched(features, tmp_path / "m.h5", matcher, pairs, options)
    assert torch.get_num_threads() == n_torch
    n_matches = 0
    with FeatureStore(features) as store:
        for pair in pairs:
            alone = matcher(store[pair[0]], store[pair[1]])
            np.testing.assert_array_equal(found[pair].indices, alone.indices)
            np.testing.assert_array_equal(found[pair].scores, alone.scores.astype(np.float16))
            n_matches += len(alone)
    assert n_matches > 100


@pytest.mark.parametrize("matcher", MATCHERS)
def test_prepared_images_match_as_the_call_does(features: Path, matcher: Matcher) -> None:
    assert isinstance(matcher, PreparingMatcher)
    with FeatureStore(features) as store:
        a, b = store[NAMES[0]], store[NAMES[1]]
        called, joined = matcher(a, b), matcher.match(matcher.prepare(a), matcher.prepare(b))
        assert matcher.prepare(a).nbytes == N_POINTS * SIZE * 4
    np.testing.assert_array_equal(called.indices, joined.indices)
    np.testing.assert_array_equal(called.scores, joined.scores)


def test_each_image_is_read_once_when_all_fit(features: Path, tmp_path: Path) -> None:
    with Counting(features) as store, MatchWriter(tmp_path / "m.h5", MADE) as writer:
        match(PairList(tuple(PAIRS)), store, MATCHERS[0], writer)
        assert store.n_read == len(NAMES)


def test_what_is_there_is_not_matched_again(features: Path, tmp_path: Path) -> None:
    with Counting(features) as store:
        with MatchWriter(tmp_path / "m.h5", MADE) as writer:
            match(PairList(tuple(PAIRS[:10])), store, MATCHERS[0], writer)
        with MatchWriter(tmp_path / "m.h5", MADE) as writer:
            report = match(PairList(tuple(p[::-1] for p in PAIRS)), store, MATCHERS[0], writer)
        assert (report.done, report.reused) == (len(PAIRS) - 10, 10)
        before = store.n_read
        with MatchWriter(tmp_path / "m.h5", MADE) as writer:
            report = match(PairList(tuple(PAIRS)), store, MATCHERS[0], writer)
        assert (report.done, report.reused) == (0, len(PAIRS))
        assert store.n_read == before


def test_a_failing_matcher_is_told_by_pair(features: Path, tmp_path: Path) -> None:
    class Failing(Plain):
        def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
            raise ConfigError("no such thing.")

    pairs = PairList(tuple(PAIRS[:1]))
    with FeatureStore(features) as store, MatchWriter(tmp_path / "m.h5", MADE) as writer:
        with pytest.raises(StoreError) as caught:
            match(pairs, store, Failing(), writer)
        assert str(caught.value) == f"{features}: `{NAMES[0]}` and `{NAMES[1]}`: no such thing."


def test_large_images_match_alike_in_threads(tmp_path: Path) -> None:
    """Products of thousands of descriptors are cut up differently by torch's own threads."""
    path, names = tmp_path / "f.h5", ["a", "b", "c", "d"]
    with FeatureWriter(path, MADE) as store:
        for seed, name in enumerate(names):
            store.add(name, some_features(3000, seed))
    pairs, matcher = list(combinations(names, 2)), Mutual(MutualOptions())
    alone = matched(path, tmp_path / "alone.h5", matcher, pairs, MatchingOptions(threads=50))
    shared = matched(path, tmp_path / "shared.h5", matcher, pairs, MatchingOptions(threads=3))
    for pair in pairs:
        np.testing.assert_array_equal(alone[pair].indices, shared[pair].indices)
        np.testing.assert_array_equal(alone[pair].scores, shared[pair].scores)


@pytest.mark.parametrize(("memory", "n_images"), [(100, 9), (8, 5), (1, 2)])
def test_many_pairs_at_a_time_match_as_one_does(
    features: Path, tmp_path: Path, memory: float, n_images: int
) -> None:
    """Half of the memory is for images of the pairs that are matched together."""
    matcher = Gathering()
    assert isinstance(matcher, GatheringMatcher)
    options = MatchingOptions(memory * ONE_IMAGE)
    found = matched(features, tmp_path / "many.h5", matcher, PAIRS, options)
    alone = matched(features, tmp_path / "alone.h5", MATCHERS[0], PAIRS, options)
    for pair in PAIRS:
        np.testing.assert_array_equal(found[pair].indices, alone[pair].indices)
        np.testing.assert_array_equal(found[pair].scores, alone[pair].scores)
    assert sum(n_pairs for _, n_pairs in matcher.calls) == len(PAIRS)
    assert max(n_pairs for _, n_pairs in matcher.calls) == min(5, n_images - 1)
    assert max(n for n, _ in matcher.calls) <= n_images


def test_matchers_that_want_one_pair_get_one(features: Path, tmp_path: Path) -> None:
    matcher = Gathering()
    matcher.pairs_together = 1
    matched(features, tmp_path / "m.h5", matcher, PAIRS[:3], MatchingOptions())
    assert matcher.calls == []


def test_a_pair_that_fails_among_many_is_named(features: Path, tmp_path: Path) -> None:
    path, pairs = tmp_path / "f.h5", [("a", "b"), ("b", "c"), ("c", "d"), ("b", "d")]
    with FeatureStore(features) as good, FeatureWriter(path, MADE) as store:
        for name in ("a", "b", "d"):
            store.add(name, good[NAMES[0]])
        store.add("c", some_features(N_POINTS, 0))  # descriptors of another length
    with FeatureStore(path) as store, MatchWriter(tmp_path / "m.h5", MADE) as writer:
        with pytest.raises(StoreError) as caught:
            match(PairList(tuple(pairs)), store, Gathering(), writer)
        assert str(caught.value).startswith(f"{path}: `b` and `c`: descriptors of image a have ")
    with MatchStore(tmp_path / "m.h5") as found:
        assert [pair for pair in pairs if pair in found] == [("a", "b")]


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"memory_gb must be above 0, got 0\.0\."):
        MatchingOptions(memory_gb=0.0)
    with pytest.raises(ConfigError, match=r"threads must not be negative, got -1\."):
        MatchingOptions(threads=-1)


def test_unknown_images(features: Path, tmp_path: Path) -> None:
    pairs = PairList((("x.jpg", NAMES[0]),))
    with (
        FeatureStore(features) as store,
        MatchWriter(tmp_path / "m.h5", MADE) as writer,
        pytest.raises(PairError, match=r"no features of 1 images of the pair list \(`x.jpg`"),
    ):
        match(pairs, store, MATCHERS[0], writer)

"""The fused double softmax beside the dense formula. `test_fused` runs this file in a process of
its own: in Triton's interpreter, which must be chosen before Triton is imported, and on a GPU.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from silk_sfm.benchmarking.stores import some_features
from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures
from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
from silk_sfm.matching import fused
from silk_sfm.matching.dense import dense_double_softmax
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.fused import Pair, fused_double_softmax
from silk_sfm.matching.tiles import MutualPairs, Similarity
from silk_sfm.pairs import PairList
from silk_sfm.stages.match import MatchingOptions, match
from silk_sfm.store import FeatureStore, FeatureWriter, MatchStore, MatchWriter, Provenance

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
ROUNDING = 1e-4
"""Relative, of P: log2 P is a float32 difference of numbers up to about 100."""


def run(
    pairs: list[Pair], temperature: float, threshold: float, similarity: Similarity = "float32"
) -> list[MutualPairs]:
    moved = {id(image): image.to(DEVICE) for pair in pairs for image in pair}
    on_device = [(moved[id(a)], moved[id(b)]) for a, b in pairs]
    return fused_double_softmax(on_device, temperature, threshold, similarity)


def described(n: int, size: int, seed: int) -> torch.Tensor:
    """(n, size) unit vectors; the first ones are much alike for every seed."""
    shared = torch.randn(200, size, generator=torch.Generator().manual_seed(0))
    own = torch.randn(n, size, generator=torch.Generator().manual_seed(seed))
    n_alike = min(n // 2, len(shared))
    return normalize(torch.cat([shared[:n_alike] + 0.3 * own[:n_alike], own[n_alike:]]))


def assert_agrees(
    found: MutualPairs, a: torch.Tensor, b: torch.Tensor, temperature: float, threshold: float
) -> None:
    """Every clear pair is found, and what is found is one within rounding."""
    assert (found.rows.diff() > 0).all()
    assert len(found.columns.unique()) == len(found.columns)
    if len(a) == 0 or len(b) == 0:
        assert len(found.rows) == 0
        return
    similarity = a.double() @ b.double().T / temperature
    probability = similarity.softmax(dim=1) * similarity.softmax(dim=0)
    largest = torch.maximum(probability.amax(1)[:, None], probability.amax(0)[None, :])
    here = (found.rows, found.columns)
    torch.testing.assert_close(found.values.double(), probability[here], rtol=ROUNDING, atol=1e-12)
    assert (probability[here] >= largest[here] * (1 - ROUNDING)).all()
    assert (found.values > threshold).all()
    is_near = probability >= largest * (1 - ROUNDING)
    is_clear = is_near & (probability == largest) & (probability > threshold * (1 + ROUNDING))
    rivals = is_near.sum(dim=1)[:, None] + is_near.sum(dim=0)[None, :]
    clear = (is_clear & (rivals == 2)).nonzero().tolist()
    assert set(map(tuple, clear)) <= set(map(tuple, torch.stack(here, dim=1).tolist()))


def assert_identical(found: MutualPairs, expected: MutualPairs) -> None:
    for name in ("rows", "columns", "values"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_known_answer() -> None:
    share = math.e / (math.e + 1)  # softmax of (1, 0), along rows and columns alike
    (pairs,) = run([(torch.eye(2), torch.eye(2))], 1.0, 0.1)
    assert pairs.rows.tolist() == pairs.columns.tolist() == [0, 1]
    assert pairs.rows.dtype == pairs.columns.dtype == torch.int64
    assert pairs.values.dtype == torch.float32
    torch.testing.assert_close(pairs.values, torch.full((2,), share**2))
    assert len(run([(torch.eye(2), torch.eye(2))], 1.0, share**2 + 1e-4)[0].rows) == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4),
    st.lists(st.integers(0, 70), min_size=4, max_size=4),
    st.sampled_from([16, 32, 100, 128]),
    st.sampled_from([0.03, 0.05, 0.5]),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from(["float32", "float16", "bfloat16"]),
    st.sampled_from([64, 1024]),
)
def test_agrees_with_the_dense_formula(
    chosen: list[tuple[int, int]],
    lengths: list[int],
    size: int,
    temperature: float,
    threshold: float,
    similarity: Similarity,
    span: int,
) -> None:
    """16-bit products are exact in float32, so the formula is applied to the rounded numbers."""
    images = [described(n, size, seed) for seed, n in enumerate(lengths, start=1)]
    pairs = [(images[i], images[j]) for i, j in chosen]
    with patch.object(fused, "SPAN", span):
        found = run(pairs, temperature, threshold, similarity)
    assert len(found) == len(pairs)
    dtype = getattr(torch, similarity)
    for (a, b), mutual in zip(pairs, found, strict=True):
        assert_agrees(mutual, a.to(dtype).float(), b.to(dtype).float(), temperature, threshold)


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "size", "similarity"),
    [
        (150, 1100, 32, "bfloat16"),
        (300, 40, 128, "float32"),
        (130, 70, 256, "bfloat16"),
        (70, 130, 257, "float16"),
        (65, 65, 256, "float32"),
        (1, 1, 1, "float32"),
    ],
)
def test_many_blocks_and_long_descriptors(
    n_rows: int, n_columns: int, size: int, similarity: Similarity
) -> None:
    a, b = described(n_rows, size, 1), described(n_columns, size, 2)
    dtype = getattr(torch, similarity)
    (found,) = run([(a, b)], 0.05, 0.01, similarity)
    assert_agrees(found, a.to(dtype).float(), b.to(dtype).float(), 0.05, 0.01)
    assert len(found.rows) >= min(n_rows, n_columns) // 3


@pytest.mark.parametrize("span", [64, 1024])
@pytest.mark.parametrize("similarity", ["float32", "bfloat16"])
def test_the_first_of_equal_ones_wins_in_every_block(similarity: Similarity, span: int) -> None:
    """Each descriptor comes ten times, in several blocks of rows, tiles and spans of columns."""
    a = torch.eye(16).repeat(10, 1)
    with patch.object(fused, "SPAN", span):
        (found,) = run([(a, a)], 0.1, 0.0, similarity)
    expected = dense_double_softmax(a, a, 0.1, 0.0)
    assert found.rows.tolist() == expected.rows.tolist() == list(range(16))
    assert found.columns.tolist() == expected.columns.tolist() == list(range(16))
    torch.testing.assert_close(found.values, expected.values)


def test_what_lies_beyond_an_image_changes_nothing() -> None:
    """The last tile of an image reads the next image of the stack; launches cut the list."""
    images = [described(n, 32, seed) for seed, n in enumerate((70, 33, 1, 129, 64, 0))]
    pairs = [(a, b) for a in images for b in images]
    together = run(pairs, 0.05, 0.05)
    again = run(pairs, 0.05, 0.05)
    with patch.object(fused, "MOST_PAIRS", 5):
        in_fives = run(pairs, 0.05, 0.05)
    for pair, *found in zip(pairs, together, again, in_fives, strict=True):
        (alone,) = run([pair], 0.05, 0.05)
        for mutual in found:
            assert_identical(mutual, alone)
    assert sum(len(mutual.rows) for mutual in together) > 400


def test_swapping_the_images_swaps_the_pairs() -> None:
    a, b = described(120, 32, 1), described(90, 32, 2)
    forward, backward = run([(a, b), (b, a)], 0.05, 0.1)
    order = backward.columns.argsort()
    assert torch.equal(forward.rows, backward.columns[order])
    assert torch.equal(forward.columns, backward.rows[order])
    torch.testing.assert_close(forward.values, backward.values[order])
    assert len(forward.rows) > 30


@pytest.fixture
def counted() -> Iterator[list[tuple[int, int]]]:
    """Lengths of the pairs that were left to `double_softmax`."""
    lengths: list[tuple[int, int]] = []

    def counting(a: torch.Tensor, b: torch.Tensor, *choice: float) -> MutualPairs:
        lengths.append((len(a), len(b)))
        return double_softmax(a, b, *choice)  # type: ignore[arg-type]

    with patch.object(fused, "double_softmax", counting):
        yield lengths


def test_large_similarities_are_left_to_the_tiles(counted: list[tuple[int, int]]) -> None:
    a, b = described(40, 32, 1), described(50, 32, 2)
    run([(a, b)], 0.0251, 0.1)
    assert counted == []
    (found,) = run([(a, b)], 0.0249, 0.1)  # |s| may reach 40
    assert counted == [(40, 50)]
    assert_agrees(found, a, b, 0.0249, 0.1)
    assert found.values.device.type == "cpu"


def test_pairs_too_large_for_a_launch_are_left_to_the_tiles(
    counted: list[tuple[int, int]],
) -> None:
    small, large = described(60, 32, 1), described(200, 32, 2)
    pairs = [(small, small), (large, large), (small, small)]
    with patch.object(fused, "LAUNCH_BYTES", 1000):  # (60, 60) takes 960
        found = run(pairs, 0.05, 0.1)
    assert counted == [(200, 200)]
    for (a, b), mutual in zip(pairs, found, strict=True):
        assert_agrees(mutual, a, b, 0.05, 0.1)


def test_nothing_to_match() -> None:
    assert run([], 0.1, 0.1) == []
    none, some = torch.zeros(0, 32), described(5, 32, 1)
    for mutual in run([(none, some), (some, none), (none, none)], 0.1, 0.1):
        assert len(mutual.rows) == len(mutual.columns) == len(mutual.values) == 0


def test_arguments_are_unchanged() -> None:
    a, b = described(20, 100, 1), described(30, 100, 2)
    copies = a.clone(), b.clone()
    run([(a, b)], 0.05, 0.1, "bfloat16")
    assert torch.equal(a, copies[0])
    assert torch.equal(b, copies[1])


def test_descriptors_of_several_lengths() -> None:
    pairs = [(torch.eye(16), torch.eye(16)), (torch.eye(32), torch.eye(32))]
    with pytest.raises(ConfigError, match=r"descriptors have \[16, 32\] numbers; match only"):
        run(pairs, 0.1, 0.1)


def test_matcher() -> None:
    features = [some_features(n, seed) for seed, n in enumerate((60, 80, 33))]
    features.append(LocalFeatures.empty(features[0].descriptors.shape[1], (100, 100)))
    plain = DoubleSoftmax(DoubleSoftmaxOptions(threshold=0.001), DEVICE)
    matcher = DoubleSoftmax(DoubleSoftmaxOptions(threshold=0.001, kernel="triton"), DEVICE)
    assert (plain.pairs_together, matcher.pairs_together) == (1, 64)
    pairs = [(a, b) for a in features for b in features]
    many = matcher.match_many([(matcher.prepare(a), matcher.prepare(b)) for a, b in pairs])
    for (a, b), matches in zip(pairs, many, strict=True):
        for other, rtol in ((matcher(a, b), 0.0), (plain(a, b), ROUNDING)):
            np.testing.assert_array_equal(matches.indices, other.indices)
            np.testing.assert_allclose(matches.scores, other.scores, rtol=rtol)
    assert sum(map(len, many)) > 100


def test_match_stage(tmp_path: Path) -> None:
    made = Provenance("test", {}, {})
    names = ["a", "b", "c", "d"]
    with FeatureWriter(tmp_path / "f.h5", made) as store:
        for seed, name in enumerate(names):
            store.add(name, some_features(50 + seed, seed))
    pairs = list(combinations(names, 2))
    matcher = DoubleSoftmax(DoubleSoftmaxOptions(threshold=0.001, kernel="triton"), DEVICE)
    with FeatureStore(tmp_path / "f.h5") as features, MatchWriter(tmp_path / "m.h5", made) as out:
        report = match(
            PairList(tuple(pairs)), features, matcher, out, options=MatchingOptions(1e-4)
        )
        alone = {(a, b): matcher(features[a], features[b]) for a, b in pairs}
    assert report.done == len(pairs)
    with MatchStore(tmp_path / "m.h5") as found:
        for pair in pairs:
            np.testing.assert_array_equal(found[pair].indices, alone[pair].indices)
            assert len(found[pair]) > 0

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch.nn.functional import normalize

from silk_sfm.matching import tiles
from silk_sfm.matching.dense import dense_double_softmax
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.exponentials import (
    Exponentials,
    PlainExponentials,
    ShiftedExponentials,
    exponentials,
)
from silk_sfm.matching.tiles import MutualPairs

CPU = torch.device("cpu")
SETS = ("random", "correlated", "clustered", "ties", "one_candidate", "identical")
LOWEST_KEPT_BY_ORIGINAL = 2.0**-25
"""1 - P < 1 in float32, the original's threshold of 1.0."""


def overlapping(n_rows: int, n_columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Descriptors of length 1.41; a third of the rows has a noisy copy among the columns."""
    random = torch.Generator().manual_seed(seed)
    a, b = torch.randn(n_rows, 32, generator=random), torch.randn(n_columns, 32, generator=random)
    n_copies = min(n_rows, n_columns) // 3
    b[:n_copies] = a[:n_copies] + 0.4 * b[:n_copies]
    return 1.41 * normalize(a), 1.41 * normalize(b)


def assert_same(pairs: MutualPairs, expected: MutualPairs) -> None:
    assert torch.equal(pairs.rows, expected.rows)
    assert torch.equal(pairs.columns, expected.columns)
    torch.testing.assert_close(pairs.values, expected.values, atol=2e-5, rtol=0)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", 1000)
    monkeypatch.setattr(tiles, "FEWEST_ROWS", 5)


def test_known_answer() -> None:
    a, b = torch.eye(2), torch.eye(2)
    share = math.e / (math.e + 1)  # softmax of (1, 0), along rows and columns alike
    pairs = double_softmax(a, b, temperature=1.0, threshold=0.1)
    assert pairs.rows.tolist() == pairs.columns.tolist() == [0, 1]
    torch.testing.assert_close(pairs.values, torch.full((2,), share**2))
    assert len(double_softmax(a, b, 1.0, share**2 + 1e-4).rows) == 0


@pytest.mark.parametrize("temperature", [0.001, 0.01, 0.05, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("threshold", [1e-30, 0.001, 0.02, 0.1, 0.5])
def test_equals_the_dense_formula(temperature: float, threshold: float, small_tiles: None) -> None:
    a, b = overlapping(150, 170, seed=3)
    expected = dense_double_softmax(a, b, temperature, threshold)
    assert_same(double_softmax(a, b, temperature, threshold), expected)
    assert len(expected.rows) > 0 or (temperature >= 1 and threshold > 0)


@pytest.mark.usefixtures("small_tiles")
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([0.01, 0.1, 1.0]),
    st.sampled_from([1e-30, 0.009, 0.01, 0.06, 0.3]),
    st.integers(0, 1000),
)
def test_equals_the_dense_formula_at_any_size(
    n_rows: int, n_columns: int, temperature: float, threshold: float, seed: int
) -> None:
    a, b = overlapping(n_rows, n_columns, seed)
    expected = dense_double_softmax(a, b, temperature, threshold)
    assert_same(double_softmax(a, b, temperature, threshold), expected)


def test_at_most_one_pair_for_each_keypoint() -> None:
    pairs = double_softmax(*overlapping(300, 200, seed=1), 0.05, 0.0)
    assert (pairs.rows.diff() > 0).all()
    assert len(pairs.columns.unique()) == len(pairs.columns)


def test_swapping_the_images_swaps_the_pairs() -> None:
    a, b = overlapping(120, 90, seed=5)
    forward, backward = double_softmax(a, b, 0.1, 0.1), double_softmax(b, a, 0.1, 0.1)
    order = backward.columns.argsort()
    assert torch.equal(forward.rows, backward.columns[order])
    assert torch.equal(forward.columns, backward.rows[order])


def test_duplicate_descriptors_share_the_probability() -> None:
    a = 1.41 * torch.eye(4)
    pairs = double_softmax(a, a.repeat(2, 1), 0.01, 0.1)
    assert pairs.columns.tolist() == [0, 1, 2, 3], "the lowest index wins"
    torch.testing.assert_close(pairs.values, torch.full((4,), 0.5))


@pytest.mark.parametrize("copies", [9, 99, 100, 101])
@pytest.mark.parametrize("threshold", [0.0099, 0.01])
def test_as_many_candidates_as_a_row_can_have(copies: int, threshold: float) -> None:
    """P is 1 / copies for each copy: that is the softmax over the row, over the column it is 1."""
    a = torch.eye(5).repeat_interleave(copies, dim=0)
    found = double_softmax(a[::copies], a, 0.01, threshold)
    assert_same(found, dense_double_softmax(a[::copies], a, 0.01, threshold))
    expected = [i * copies for i in range(5)] if 1 / copies > threshold else []
    if 1 / copies != threshold:  # there rounding decides
        assert found.columns.tolist() == expected


def test_empty_and_unchanged_arguments() -> None:
    assert len(double_softmax(torch.zeros(0, 8), torch.zeros(3, 8), 0.1, 0.1).rows) == 0
    assert len(double_softmax(torch.zeros(3, 8), torch.zeros(0, 8), 0.1, 0.1).rows) == 0
    a, b = overlapping(20, 30, seed=0)
    copies = a.clone(), b.clone()
    double_softmax(a, b, 0.1, 0.1)
    double_softmax(a, b, 0.001, 0.0)
    assert torch.equal(a, copies[0])
    assert torch.equal(b, copies[1])


@pytest.mark.parametrize("kind", [PlainExponentials, ShiftedExponentials])
def test_column_shares_are_a_softmax(kind: type[Exponentials]) -> None:
    similarity = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * 10
    terms = kind(6, CPU)  # type: ignore[call-arg]
    for tile in similarity.split(7):
        terms.add_columns(terms.prepare(tile.clone()))
    shares = terms.column_shares(terms.prepare(similarity.clone()), slice(None))
    torch.testing.assert_close(shares, similarity.softmax(dim=0), atol=2e-6, rtol=1e-5)


def test_plain_exponentials_only_where_they_are_safe() -> None:
    assert isinstance(exponentials(3, 39.9, CPU), PlainExponentials)
    assert isinstance(exponentials(3, 40.0, CPU), ShiftedExponentials)
    assert isinstance(exponentials(3, float("inf"), CPU), ShiftedExponentials)


def test_memory_stays_far_below_the_matrix() -> None:
    """10,000 x 10,000 float32 would be 400 MB; peak memory grows by less than 100 MB."""
    code = """if True:
        import resource, torch
        torch.set_num_threads(1)
        from silk_sfm.matching.double_softmax import double_softmax
        random = torch.Generator().manual_seed(0)
        a = torch.nn.functional.normalize(torch.randn(10_000, 32, generator=random))
        double_softmax(a[:100], a[:100], 0.05, 0.1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for temperature, threshold in ((0.05, 0.1), (0.05, 0.01), (0.05, 0.0), (0.01, 0.1)):
            assert len(double_softmax(a, a, temperature, threshold).rows) == 10_000
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(run.stdout) * unit < 100e6


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("temperature", ["0.1", "0.05"])
@pytest.mark.parametrize("distance", ["0.5", "0.9", "0.99", "1.0"])
def test_parity_with_recorded_pairs(name: str, temperature: str, distance: str) -> None:
    recorded = np.load(shared("reference", "matching.npz"))
    a, b = (torch.tensor(recorded[f"{name}/desc_{side}"].astype(np.float32)) for side in (0, 1))
    threshold = max(1 - float(distance), LOWEST_KEPT_BY_ORIGINAL)
    pairs = double_softmax(a, b, float(temperature), threshold)
    case = f"{name}/double-softmax/T{temperature}/{distance}"
    found = np.stack([pairs.rows, pairs.columns], 1)
    np.testing.assert_array_equal(found, recorded[f"{case}/matches"])
    np.testing.assert_allclose(1 - pairs.values, recorded[f"{case}/distances"], atol=2e-5)


def test_similarities_in_bfloat16_change_few_matches() -> None:
    generator = torch.Generator().manual_seed(5)
    a = normalize(torch.randn(400, 64, generator=generator))
    b = normalize(a.flip(0) + 0.08 * torch.randn(400, 64, generator=generator))
    exact = double_softmax(a, b, 0.05, 0.3)
    rounded = double_softmax(a, b, 0.05, 0.3, "bfloat16")
    common = set(exact.rows.tolist()) & set(rounded.rows.tolist())
    assert len(common) > 0.95 * len(exact.rows) > 300
    assert not torch.equal(exact.values[:50], rounded.values[:50])

"""Pairs of images that were taken near each other, against all distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from silk_sfm.errors import ConfigError
from silk_sfm.stages.spatial import near_rows, nearest_rows, radius_rows

places = arrays(float, st.tuples(st.integers(0, 25), st.just(3)), elements=st.integers(0, 6))


def distances(points: np.ndarray) -> np.ndarray:
    """(N, N), infinite on the diagonal."""
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(apart, np.inf)
    return apart


@settings(deadline=None, max_examples=60)
@given(places, st.floats(0.5, 9))
def test_all_within_a_radius(points: np.ndarray, radius: float) -> None:
    found = list(radius_rows(points, radius).indices())
    first, second = np.nonzero(np.triu(distances(points) <= radius, 1))
    assert found == list(zip(first.tolist(), second.tolist(), strict=True))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 25), st.integers(1, 8), st.integers(0, 99))
def test_nearest(n: int, n_nearest: int, seed: int) -> None:
    """Places in general position: no ties."""
    points = np.random.default_rng(seed).uniform(0, 100, (n, 3))
    order = np.argsort(distances(points), axis=1)[:, : max(min(n_nearest, n - 1), 0)]
    expected = {(min(i, j), max(i, j)) for i in range(n) for j in order[i].tolist()}
    assert list(nearest_rows(points, n_nearest).indices()) == sorted(expected)


@settings(deadline=None, max_examples=60)
@given(places, st.integers(1, 8))
def test_nearest_with_ties_and_equal_places(points: np.ndarray, n_nearest: int) -> None:
    """Whoever is chosen among equals: the distances are those of the nearest ones."""
    found = nearest_rows(points, n_nearest)
    apart = distances(points)
    paired = np.zeros(apart.shape, bool)
    for i, j in found.indices():
        paired[i, j] = paired[j, i] = True
    n_asked = min(n_nearest, len(points) - 1)
    for i in range(len(points)):
        assert paired[i].sum() >= n_asked
        got = np.sort(apart[i][paired[i]])[:n_asked]
        np.testing.assert_array_equal(got, np.sort(apart[i])[:n_asked])
        for j in np.flatnonzero(paired[i]):  # each pair is wanted by one of the two
            limit = max(np.sort(apart[i])[n_asked - 1], np.sort(apart[j])[n_asked - 1])
            assert apart[i, j] <= limit


def test_a_crowd_at_one_place_gets_no_more_than_others() -> None:
    """Each finds three others, whether it finds itself among the first four or not."""
    rows = nearest_rows(np.zeros((50, 3)), 3)
    assert 3 * 50 / 2 <= len(list(rows.indices())) <= 3 * 50


def test_nearest_within_a_radius() -> None:
    line = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [100, 0, 0]])
    assert list(nearest_rows(line, 1).indices()) == [(0, 1), (1, 2), (2, 3)]
    assert list(nearest_rows(line, 1, radius=2.0).indices()) == [(0, 1), (1, 2)]  # inclusive
    assert list(nearest_rows(line, 3, radius=1.5).indices()) == [(0, 1)]
    assert not list(nearest_rows(line, 3, radius=0.5).indices())


def test_either_way_or_none() -> None:
    line = np.array([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]])
    assert list(near_rows(line, 1, None).indices()) == [(0, 1), (1, 2)]
    assert list(near_rows(line, 0, 10.0).indices()) == [(0, 1), (0, 2), (1, 2)]
    with pytest.raises(ConfigError, match=r"^nearest = 0 takes all images within radius_m"):
        near_rows(line, 0, None)

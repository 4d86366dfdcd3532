import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silk_sfm.pair_rows import (
    PairRows,
    all_rows,
    among_rows,
    anchor_rows,
    joined_rows,
    listed_rows,
    sequential_rows,
)

Pairs = list[tuple[int, int]]


def pairs_of(rows: PairRows) -> Pairs:
    pairs = list(rows.indices())
    assert pairs == sorted(set(pairs))
    assert all(0 <= i < j < rows.n_images for i, j in pairs)
    assert len(pairs) <= rows.most_pairs
    return pairs


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(1, 9), st.booleans())
def test_sequential(n: int, window: int, quadratic: bool) -> None:
    steps = set(range(1, window + 1))
    if quadratic:
        steps |= {2**power for power in range(window)}
    rows = sequential_rows(n, window, quadratic)
    expected = [(i, j) for i in range(n) for j in range(i + 1, n) if j - i in steps]
    assert pairs_of(rows) == expected
    assert rows.most_pairs == len(expected)


def test_quadratic_steps_of_a_long_flight() -> None:
    row = sequential_rows(100_000, 10, quadratic=True).row(0)
    assert row.tolist() == [*range(1, 11), 16, 32, 64, 128, 256, 512]
    assert sequential_rows(100, 90, quadratic=True).most_pairs < 100 * 100 / 2
    assert sequential_rows(9, 10**15).most_pairs == 36  # all with all, at once


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 14))
def test_anchors(n: int, every: int, beside: int) -> None:
    """Against the definition, pair by pair; neighbourhoods of anchors may overlap."""
    expected = {
        (min(i, k), max(i, k))
        for i, j in itertools.permutations(range(0, n, every), 2)
        for k in range(max(0, j - beside), min(n, j + beside + 1))
        if k != i
    }
    assert pairs_of(anchor_rows(n, every, beside)) == sorted(expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 12), st.data())
def test_listed_in_any_order(n: int, data: st.DataObject) -> None:
    number = st.integers(0, n - 1)
    given_pairs = data.draw(st.lists(st.tuples(number, number)))
    rows = listed_rows(n, np.array(given_pairs, np.int64))
    expected = sorted({(min(p), max(p)) for p in given_pairs if p[0] != p[1]})
    assert pairs_of(rows) == expected
    assert rows.most_pairs == len(expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 15), st.data())
def test_joined_is_the_union(n: int, data: st.DataObject) -> None:
    every_pair = list(itertools.combinations(range(n), 2))
    parts = data.draw(st.lists(st.lists(st.sampled_from(every_pair)), min_size=1, max_size=4))
    joined = joined_rows([listed_rows(n, np.array(part, np.int64)) for part in parts])
    assert pairs_of(joined) == sorted(set(itertools.chain(*parts)))


def test_among_counts_images_of_all() -> None:
    rows = among_rows(all_rows(3), [1, 4, 5], 7)
    assert pairs_of(rows) == [(1, 4), (1, 5), (4, 5)]
    assert [row.tolist() for row in rows] == [[], [4, 5], [], [], [5], [], []]


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_all(n: int) -> None:
    rows = all_rows(n)
    assert pairs_of(rows) == list(itertools.combinations(range(n), 2))
    assert rows.most_pairs == n * (n - 1) // 2


def test_nothing_is_made_before_it_is_asked_for() -> None:
    rows = all_rows(100_000)
    assert rows.most_pairs == 4_999_950_000
    assert rows.row(99_997).tolist() == [99_998, 99_999]

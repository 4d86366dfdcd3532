import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from silk_sfm.matching import alike
from silk_sfm.matching.alike import most_alike


def brute_force(vectors: np.ndarray, queries: list[int], n_alike: int) -> list[list[int]]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return [np.argsort(-similarity[i])[:n_alike].tolist() for i in queries]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 200), st.integers(0, 99))
def test_as_the_whole_matrix_gives_it(n: int, n_alike: int, tile: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 16)) * rng.uniform(0.1, 10, (n, 1))  # of any length
    queries = rng.integers(0, n, rng.integers(0, 9)).tolist()
    before = alike.TILE_NUMBERS
    alike.TILE_NUMBERS = tile
    try:
        found = most_alike(
            torch.from_numpy(vectors), torch.tensor(queries, dtype=torch.int64), n_alike
        )
    finally:
        alike.TILE_NUMBERS = before
    assert found.tolist() == brute_force(vectors, queries, min(n_alike, n - 1))


def test_nobody_finds_itself() -> None:
    vectors = torch.ones(6, 4)
    for i, row in enumerate(most_alike(vectors, torch.arange(6), 5).tolist()):
        assert sorted([*row, i]) == list(range(6))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few(n: int) -> None:
    assert most_alike(torch.ones(n, 3), torch.arange(n), 5).shape == (n, 0)

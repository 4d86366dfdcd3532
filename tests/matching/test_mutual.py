from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch.nn.functional import normalize

from silk_sfm.matching import tiles
from silk_sfm.matching.dense import dense_mutual_nearest
from silk_sfm.matching.mutual import mutual_nearest
from silk_sfm.matching.tiles import MutualPairs, row_tiles, rows_per_tile

SETS = ("random", "correlated", "clustered", "ties", "one_candidate", "identical")


def random_rows(n: int, size: int, seed: int) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def assert_same(pairs: MutualPairs, expected: MutualPairs) -> None:
    assert torch.equal(pairs.rows, expected.rows)
    assert torch.equal(pairs.columns, expected.columns)
    torch.testing.assert_close(pairs.values, expected.values, atol=2e-5, rtol=0)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "CPU_TILE", 7)
    monkeypatch.setattr(tiles, "FEWEST_ROWS", 3)


def test_known_answer() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    b = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    pairs = mutual_nearest(a, b)
    assert pairs.rows.tolist() == [0, 1]
    assert pairs.columns.tolist() == [1, 0]
    assert pairs.values.tolist() == [1.0, 1.0]


def test_ratio_known_answer() -> None:
    a = torch.tensor([[1.0, 0.0]])
    b = torch.tensor([[0.8, 0.6], [0.6, 0.8]])  # distances 0.2 and 0.4
    assert len(mutual_nearest(a, b, 0.49).rows) == 0
    assert len(mutual_nearest(a, b, 0.51).rows) == 1
    assert len(mutual_nearest(a, b[:1], 0.01).rows) == 1, "an only candidate passes"


@pytest.mark.usefixtures("small_tiles")
@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_ties_go_to_the_lowest_index(n_rows: int, n_columns: int, seed: int) -> None:
    a, b = (random_rows(n, 2, seed + n).round() for n in (n_rows, n_columns))
    assert_same(mutual_nearest(a, b), dense_mutual_nearest(a, b))


def test_empty() -> None:
    for shape in ((0, 5), (5, 0), (0, 0)):
        pairs = mutual_nearest(*(torch.zeros(n, 8) for n in shape), 0.8)
        assert len(pairs.rows) == len(pairs.columns) == len(pairs.values) == 0


def test_arguments_are_not_changed() -> None:
    a, b = random_rows(50, 8, 0), random_rows(60, 8, 1)
    copies = a.clone(), b.clone()
    mutual_nearest(a, b, 0.9)
    assert torch.equal(a, copies[0])
    assert torch.equal(b, copies[1])


@pytest.mark.parametrize("has_onednn", [False, True])
def test_products_do_not_depend_on_the_library(
    has_onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = random_rows(100, 128, 0), random_rows(70, 128, 1)
    monkeypatch.setattr(tiles, "has_onednn", lambda: has_onednn)
    multiply = tiles.products_with(b, 40)
    for part in (a, a[:40], a[:7]):
        torch.testing.assert_close(multiply(part), part @ b.T, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("similarity", "error"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_products_in_other_numbers(similarity: tiles.Similarity, error: float) -> None:
    a, b = (normalize(random_rows(n, 64, n)) for n in (40, 50))
    _, tile = next(row_tiles(a, b, similarity))
    assert tile.dtype == torch.float32
    assert 0 < (tile - a @ b.T).abs().max() < error


def test_tiles_make_up_the_product(small_tiles: None) -> None:
    a, b = random_rows(10, 4, 0), random_rows(6, 4, 1)
    parts = [(first, tile.clone()) for first, tile in row_tiles(a, b)]
    assert [first for first, _ in parts] == [0, 3, 6, 9]
    torch.testing.assert_close(torch.cat([tile for _, tile in parts]), a @ b.T)


def test_a_tile_of_50_000_columns_is_small() -> None:
    assert rows_per_tile(50_000, torch.device("cpu")) * 50_000 * 4 < 20e6


@pytest.mark.parametrize("name", SETS)
def test_parity_with_recorded_pairs(name: str) -> None:
    recorded = np.load(shared("reference", "matching.npz"))
    a, b = (torch.tensor(recorded[f"{name}/desc_{side}"].astype(np.float32)) for side in (0, 1))
    pairs = mutual_nearest(a, b)
    np.testing.assert_array_equal(
        np.stack([pairs.rows, pairs.columns], 1), recorded[f"{name}/mnn/matches"]
    )
    np.testing.assert_allclose(1 - pairs.values, recorded[f"{name}/mnn/distances"], atol=2e-5)


@pytest.mark.parametrize("name", [name for name in SETS if name != "ties"])
@pytest.mark.parametrize("ratio", ["0.6", "0.8", "0.9", "0.95", "1.0"])
def test_parity_with_recorded_ratio_test(name: str, ratio: str) -> None:
    recorded = np.load(shared("reference", "matching.npz"))
    a, b = (torch.tensor(recorded[f"{name}/desc_{side}"].astype(np.float32)) for side in (0, 1))
    pairs = mutual_nearest(normalize(a), normalize(b), float(ratio))
    found = np.stack([pairs.rows, pairs.columns], 1)
    np.testing.assert_array_equal(found, recorded[f"{name}/ratio-test/{ratio}/matches"])

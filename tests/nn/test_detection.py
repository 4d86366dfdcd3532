import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.nn import detection
from silk_sfm.nn.detection import (
    REMOVED,
    DetectionOptions,
    best,
    choose,
    detect,
    detect_logits,
    limit_per_square,
    logit,
    refine,
    remove_border,
    suppress_neighbours,
)

EVERYTHING = 1_000_000


def only(
    nms_radius: int = 0,
    border: int = 0,
    threshold: float = 1.0,
    top_k: int = 0,
    max_keypoints: int | None = None,
    spread: int = 0,
    spread_cell: int = 4,
) -> DetectionOptions:
    """Options with everything off that is not named."""
    return DetectionOptions(
        nms_radius, border, threshold, top_k, max_keypoints, False, spread, spread_cell
    )


def random_scores(seed: int, height: int, width: int, levels: int) -> Tensor:
    """A map with few levels, so with many ties."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-levels, levels, (height, width), generator=generator) / levels


# ---------- recorded behaviour of the original ----------


def recorded_cases() -> list[tuple[str, int, np.ndarray, np.ndarray]]:
    """(mask key, top-k, score map, selected cells) of every recorded case."""
    data = np.load(shared("reference", "detection.npz"))
    cases = []
    for key in (name for name in data.files if name.startswith("mask/")):
        maps = data[f"map/{key.split('/')[1]}"][:, 0]
        for scores, bits in zip(maps, data[key], strict=True):
            cells = np.flatnonzero(np.unpackbits(bits)[: scores.size])
            cases.append((key, int(key.rsplit("top", 1)[1]), scores, cells))
    return cases


def options_of(key: str) -> DetectionOptions:
    _, _, nms, border, threshold, top = key.split("/")
    top_k = int(top[3:])
    return only(
        nms_radius=int(nms[3:]),
        border=int(border[6:]),
        threshold=float(threshold[3:]),
        top_k=top_k + 1 if 0 < top_k < EVERYTHING else top_k,  # the original returns one more
    )


def test_recorded_selections() -> None:
    n_exact, n_tied = 0, 0
    for key, top_k, scores, expected in recorded_cases():
        found = detect(torch.from_numpy(scores), options_of(key)).numpy()
        if np.array_equal(found, expected):
            n_exact += 1
            continue
        # The original drops all cells whose score ties at the cut; ours fills up with the first.
        n_tied += 1
        assert 0 < top_k < EVERYTHING, key
        extra = np.setdiff1d(found, expected)
        assert np.isin(expected, found).all() and len(found) == top_k + 1, key
        assert len(np.unique(scores.flat[extra])) == 1, key
        assert scores.flat[extra[0]] == scores.flat[found].min(), key
    assert (n_exact, n_tied) == (563, 29)


# ---------- known answers ----------


def test_chooses_exactly_k_of_tied_scores_first_in_row_major_order() -> None:
    constant = torch.full((5, 7), 0.5)
    assert detect(constant, only(top_k=9)).tolist() == list(range(9))


def test_threshold_is_strict_and_zero_never_counts() -> None:
    probability = torch.tensor([[0.0, 0.5, 0.6], [0.7, 0.0, 0.5]])
    assert detect(probability, only(threshold=0.5)).tolist() == [2, 3]
    assert detect(probability, only(threshold=0.0)).tolist() == [1, 2, 3, 5]
    assert detect(probability, only(top_k=99)).tolist() == [1, 2, 3, 5]
    assert detect(probability, only(threshold=1.0)).tolist() == []


def test_top_k_is_a_floor_and_max_keypoints_a_cap() -> None:
    probability = torch.tensor([[0.1, 0.9, 0.8, 0.7, 0.2]])
    assert detect(probability, only(threshold=0.5, top_k=1)).tolist() == [1, 2, 3]
    assert detect(probability, only(threshold=0.5, top_k=4)).tolist() == [1, 2, 3, 4]
    assert detect(probability, only(threshold=0.5, top_k=4, max_keypoints=2)).tolist() == [1, 2]


def test_suppression_of_a_constant_map_leaves_a_grid() -> None:
    kept = suppress_neighbours(torch.full((30, 30), 0.5), 4) > REMOVED
    rows, columns = torch.nonzero(kept).T
    assert len(rows) == 36 and bool((rows % 5 == 0).all() and (columns % 5 == 0).all())


def test_logits_tell_apart_what_float32_probabilities_cannot() -> None:
    logits = torch.tensor([[20.0, 30.0, 25.0]])
    assert len(torch.sigmoid(logits).unique()) == 1
    assert detect_logits(logits, only(top_k=1)).tolist() == [1]
    assert detect_logits(logits, only(threshold=0.5)).tolist() == [0, 1, 2]
    assert detect_logits(-logits, only(top_k=1)).tolist() == [0]


def test_border_cells_are_out_even_when_all_others_are_worse() -> None:
    logits = torch.full((5, 5), 3.0)
    logits[2, 2] = -1e30
    assert detect_logits(logits, only(border=2, top_k=9)).tolist() == [12]
    assert detect_logits(logits, only(border=3, top_k=9)).tolist() == []


def test_border_wider_than_the_map_removes_everything() -> None:
    assert bool((remove_border(torch.zeros(3, 9), 7) == REMOVED).all())


def test_spread_keeps_the_best_of_each_square_before_top_k() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.1, 0.2], [0.7, 0.6, 0.3, 0.3]])
    assert detect(scores, only(spread=1, spread_cell=2, top_k=2)).tolist() == [0, 6]
    assert detect(scores, only(spread=2, spread_cell=2, top_k=9)).tolist() == [0, 1, 6, 7]


def test_refine_finds_the_top_of_a_parabola() -> None:
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    logits = -((y - 3.3) ** 2) - 2 * (x - 4.8) ** 2
    torch.testing.assert_close(
        refine(logits, torch.tensor([3 * 9 + 5])), torch.tensor([[0.3, -0.2]])
    )


def test_refine_is_clamped_and_still_at_borders_and_on_plateaus() -> None:
    slope = -((torch.arange(5.0) - 4.0) ** 2).repeat(3, 1)
    assert refine(slope, torch.tensor([6])).tolist() == [[0.0, 0.5]]
    assert refine(slope, torch.tensor([0, 4, 14])).tolist() == [[0.0, 0.0]] * 3
    assert refine(torch.zeros(3, 3), torch.tensor([4])).tolist() == [[0.0, 0.0]]


def test_more_cells_than_float32_can_count() -> None:
    scores = torch.zeros(4097, 4096)
    scores[-1, -1], scores[-1, -2] = 0.5, 0.25
    assert choose(scores, 1.0, 2, None).tolist() == [4097 * 4096 - 2, 4097 * 4096 - 1]
    assert len(choose(scores, 1.0, 2**24 + 5, None)) == 2**24 + 5


def test_not_a_number_is_never_a_keypoint() -> None:
    scores = torch.tensor([[torch.nan, 0.3], [0.2, torch.nan]])
    assert detect_logits(scores, only(nms_radius=1, top_k=4)).tolist() == [1]


# ---------- invariants ----------

maps = st.builds(
    random_scores,
    seed=st.integers(0, 10_000),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    levels=st.sampled_from([1, 3, 1000]),
)


def greedy(scores: Tensor, radius: int) -> set[int]:
    """Greedy suppression from the best score down, the definition."""
    _, width = scores.shape
    kept: list[int] = []
    for cell in torch.argsort(scores.flatten(), descending=True, stable=True).tolist():
        row, column = divmod(cell, width)
        apart = (max(abs(row - k // width), abs(column - k % width)) > radius for k in kept)
        if all(apart):
            kept.append(cell)
    return set(kept)


@settings(max_examples=40, deadline=None)
@given(scores=maps, radius=st.integers(1, 4))
def test_suppression_is_greedy(scores: Tensor, radius: int) -> None:
    kept = torch.nonzero(suppress_neighbours(scores, radius).flatten() > REMOVED)[:, 0]
    assert set(kept.tolist()) == greedy(scores, radius)


selections = st.builds(
    only,
    nms_radius=st.integers(0, 4),
    border=st.integers(0, 5),
    threshold=st.sampled_from([0.0, 0.2, 0.5, 0.62, 0.9, 1.0]),
    top_k=st.integers(0, 30),
    max_keypoints=st.none() | st.integers(1, 40),
    spread=st.sampled_from([0, 0, 0, 2]),
)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(30, 60),
    levels=st.sampled_from([3, 50, 10_000]),
    n_removed=st.sampled_from([0, 0, 20, 29]),
    options=selections,
)
def test_suppression_among_the_best_alone_changes_nothing(
    seed: int, height: int, levels: int, n_removed: int, options: DetectionOptions
) -> None:
    scores = random_scores(seed, height, 50, levels)
    scores[:n_removed] = REMOVED
    everything = remove_border(scores, options.border)
    everything = suppress_neighbours(everything, options.nms_radius)
    everything = limit_per_square(everything, options.spread, options.spread_cell)
    threshold = logit(options.threshold)
    slow = choose(everything, threshold, options.top_k, options.max_keypoints)
    assert torch.equal(detect_logits(scores, options), slow)


def test_wide_peaks_are_looked_at_until_there_are_enough() -> None:
    around = torch.arange(-4, 5).abs()
    pyramid = -torch.maximum(around[:, None], around).float()  # one keypoint in 81 cells
    scores = torch.full((60, 60), REMOVED)
    tops = [(5 + 10 * (i // 3), 5 + 10 * (i % 3)) for i in range(6)]
    for i, (row, column) in enumerate(tops):
        scores[row - 4 : row + 5, column - 4 : column + 5] = pyramid - 10 * i
    options = only(nms_radius=4, top_k=6)
    assert detection._suppress_among_best(scores, options, math.inf) is None
    assert detect_logits(scores, options).tolist() == [60 * row + column for row, column in tops]


@pytest.mark.parametrize("options", [only(4, top_k=20), only(2, threshold=0.7), only(3, top_k=5)])
def test_of_most_maps_only_the_best_are_looked_at(
    options: DetectionOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    def suppress(scores: Tensor, radius: int) -> Tensor:
        looked_at.append(int((scores > REMOVED).sum()))
        return suppress_neighbours(scores, radius)

    monkeypatch.setattr(detection, "suppress_neighbours", suppress)
    detect_logits(random_scores(0, 100, 100, 10_000), options)
    assert len(looked_at) == 1 and looked_at[0] < 2_000


@settings(max_examples=40, deadline=None)
@given(scores=maps, count=st.integers(0, 200))
def test_best_is_a_stable_sort(scores: Tensor, count: int) -> None:
    values = scores.flatten()
    count = min(count, len(values))
    order = torch.argsort(values, descending=True, stable=True)[:count]
    assert best(values, count).tolist() == sorted(order.tolist())


@settings(max_examples=40, deadline=None)
@given(scores=maps, most=st.integers(1, 4), side=st.integers(1, 9))
def test_squares_hold_at_most_so_many(scores: Tensor, most: int, side: int) -> None:
    rows, columns = torch.nonzero(limit_per_square(scores, most, side) > REMOVED).T
    _, counts = torch.unique(
        torch.stack([rows // side, columns // side]), dim=1, return_counts=True
    )
    height, width = scores.shape
    assert len(counts) == -(-height // side) * -(-width // side)
    assert int(counts.max()) <= most


# ---------- empty and wrong input ----------


def test_empty_maps() -> None:
    options = DetectionOptions(spread=1)
    for shape in ((0, 0), (0, 5), (5, 0)):
        assert detect_logits(torch.zeros(shape), options).tolist() == []
    assert refine(torch.zeros(4, 4), torch.zeros(0, dtype=torch.int64)).shape == (0, 2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"nms_radius": -1}, "nms_radius must be at least 0, got -1."),
        ({"border": -2}, "border must be at least 0, got -2."),
        ({"top_k": -1}, "top_k must be at least 0, got -1."),
        ({"spread": -1}, "spread must be at least 0, got -1."),
        ({"spread_cell": 0}, "spread_cell must be at least 1, got 0."),
        ({"max_keypoints": 0}, "max_keypoints must be at least 1, got 0."),
        ({"threshold": 1.5}, "threshold must lie in [0, 1], got 1.5."),
    ],
)
def test_options_are_checked(options: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        DetectionOptions(**options)  # type: ignore[arg-type]
    assert str(error.value) == text


def test_suppression_in_bands_has_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.rand(60, 40, generator=torch.Generator().manual_seed(3)).mul_(30).round_()
    scores[7:9] = REMOVED
    whole = suppress_neighbours(scores, 3)
    monkeypatch.setattr(detection, "BAND_ROWS", 7)
    assert torch.equal(suppress_neighbours(scores, 3), whole)

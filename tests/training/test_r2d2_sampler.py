import json
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from recorded_others import recorded
from shared_data import shared
from test_r2d2_losses import as_recorded, close, maps
from torch import Tensor

from silk_sfm.training.r2d2 import into_a, queries
from silk_sfm.training.r2d2_losses import (
    R2d2LossOptions,
    average_precision,
    peakiness_loss,
    reliability_loss,
    similarity_loss,
)
from silk_sfm.training.r2d2_sampler import Described, Queries, Samples, compare, draw_pixels
from silk_sfm.training.views import Views

REGULAR = "ngh2_default_regular"
NO_DISTRACTORS = "ngh2_nodistr_nomaxpool"
CASES = {
    REGULAR: R2d2LossOptions(edges="published"),
    "ngh2_border8_subq4": R2d2LossOptions(border=8, query_spacing=4, edges="published"),
    NO_DISTRACTORS: R2d2LossOptions(
        border=6, query_spacing=6, spacing=2, ring=5, same=1, other=3, edges="published"
    ),
}


@dataclass
class Case:
    """One recorded case, done again: the leaves that gradients belong to, and what came of them."""

    leaves: dict[str, Tensor]
    inside: Tensor
    samples: Samples
    precision: Tensor
    loss: Tensor


def expected(name: str, key: str) -> Tensor:
    return torch.tensor(recorded("r2d2", f"sampler_{name}")[key])


@cache
def case(name: str) -> Case:
    options = CASES[name]
    leaves = {key: maps(key).requires_grad_() for key in ("feat1", "feat2", "rel1", "rel2")}
    a, b = (Described(leaves[f"feat{side}"], leaves[f"rel{side}"]) for side in (1, 2))
    grid = grid_of(options)
    xy, views = grid.repeat(2, 1), torch.arange(2).repeat_interleave(len(grid))
    truth = truncated(maps("aflow")[views, :, xy[:, 1], xy[:, 0]])
    inside = ((truth >= 0) & (truth < torch.tensor([56, 48]))).all(dim=1)
    distractors = grid[:0] if name == NO_DISTRACTORS else grid
    samples = compare(a, b, Queries(views, xy, truth, distractors), options)
    precision = average_precision(samples.scores, samples.right, samples.counted, options.bins)
    reliability = samples.reliability
    if name == NO_DISTRACTORS:  # recorded without the choice of the best, thus without its share
        reliability = a.at(views, xy)[1]
    loss = reliability_loss(precision[inside], reliability[inside], options.base)
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    return Case(leaves, inside, samples, precision, loss.detach())


def grid_of(options: R2d2LossOptions) -> Tensor:
    """(q, 2) x, y of the queries, row by row."""
    rows, columns = (
        torch.arange(options.border, side - options.border, options.query_spacing)
        for side in (48, 56)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def truncated(places: Tensor) -> Tensor:
    """Towards zero, as was recorded, instead of to the nearest pixel."""
    return (places + 0.5).nan_to_num(nan=-9e9).long()


@pytest.mark.parametrize("name", CASES)
def test_recorded_scores(name: str) -> None:
    done = case(name)
    assert torch.equal(done.inside, expected(name, "mask").flatten())
    rows = done.inside
    scores = done.samples.scores.detach()
    close(scores[rows], expected(name, "scores")[rows])
    assert torch.equal(done.samples.right[rows], expected(name, "gt")[rows].bool())
    close(done.precision.detach()[rows], expected(name, "ap").flatten()[rows])
    if name != NO_DISTRACTORS:
        reliability = done.samples.reliability.detach()
        close(reliability[rows], expected(name, "qconf").flatten()[rows])


@pytest.mark.parametrize("name", CASES)
def test_recorded_losses(name: str) -> None:
    done = case(name)
    assert float(done.loss) == pytest.approx(float(expected(name, "reliability_loss")), rel=1e-5)
    lacking = float((1 - done.precision.detach())[done.inside].mean())
    # 1 - 0.998 loses three digits.
    assert lacking == pytest.approx(float(expected(name, "pixap_loss")), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_recorded_gradients(name: str) -> None:
    gradients = {key: leaf.grad for key, leaf in case(name).leaves.items()}
    for side in (1, 2):
        recorded_one = expected(name, f"grad_rel{side}")
        found = gradients[f"rel{side}"]
        if not recorded_one.any():
            assert found is None or not found.any()
        else:
            close(found, recorded_one)
    first, second = gradients["feat1"], gradients["feat2"]
    assert first is not None and second is not None
    at = expected(name, "grad_feat1_nonzero_idx").long()
    whole = torch.zeros_like(first)
    whole[at[:, 0], :, at[:, 1], at[:, 2]] = expected(name, "grad_feat1_at")
    close(first, whole)
    close(second.sum(dim=1), expected(name, "grad_feat2_sum_over_c"))
    total = float(expected(name, "grad_feat2_abs_sum"))
    assert float(second.abs().sum()) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_recorded_gradients_of_precision_alone(name: str) -> None:
    done = case(name)
    lacking = (1 - done.precision)[done.inside].mean()
    leaves = [done.leaves["feat1"], done.leaves["feat2"]]
    first, second = torch.autograd.grad(lacking, leaves, retain_graph=True)
    total = float(expected(name, "pixap_grad_feat1_abs_sum"))
    assert float(first.abs().sum()) == pytest.approx(total, rel=1e-5)
    close(second.sum(dim=1), expected(name, "pixap_grad_feat2_sum_over_c"))


def test_recorded_sum_of_all_losses() -> None:
    told = json.loads(shared("reference_others", "r2d2", "multiloss.json").read_text())
    first, second = maps("rep1"), maps("rep2")
    everywhere = torch.ones_like(first, dtype=torch.bool)
    similarity = similarity_loss(first, as_recorded(second), everywhere, 16)
    peakiness = peakiness_loss(torch.cat([first, second]), 16, "published")
    total = case(REGULAR).loss + similarity + peakiness
    assert float(total) == pytest.approx(told["loss"], rel=1e-5)


def field(height: int, width: int) -> Described:
    """Another axis as the descriptor of each pixel; reliability rises with the column."""
    descriptors = torch.eye(height * width).reshape(1, -1, height, width)
    reliability = torch.arange(width).expand(1, 1, height, width) / width
    return Described(descriptors, reliability)


OPTIONS = R2d2LossOptions(same=1, other=2, ring=2, border=0)


def ask(xy: list[int], truth: list[int], distractors: list[list[int]]) -> Samples:
    maps_of = field(8, 10)
    asked = Queries(
        torch.tensor([0]),
        torch.tensor([xy]),
        torch.tensor([truth]),
        torch.tensor(distractors, dtype=torch.int64).reshape(-1, 2),
    )
    return compare(maps_of, maps_of, asked, OPTIONS)


def test_right_and_wrong_places_of_one_query() -> None:
    found = ask([4, 3], [5, 3], [[4, 3], [7, 3], [0, 0]])  # the best right place is one pixel off
    assert found.scores.shape == (1, 1 + 4 + 3)
    assert found.scores[0, 0] == 1 and found.right[0].tolist() == [True] + [False] * 7
    assert not found.scores[0, 1:5].any()
    # (4, 3) is a distractor next to the truth and thus none; (7, 3) is just far enough.
    assert found.scores[0, 5] == 1 and found.counted[0, 5:].tolist() == [False, True, True]
    assert float(found.reliability[0]) == pytest.approx(0.4)


def test_beyond_the_border_is_nothing_wrong() -> None:
    found = ask([0, 0], [0, 0], [])
    assert found.scores[0, 0] == 1
    assert found.counted[0].tolist() == [True, False, False, True, True]  # right and below
    published = R2d2LossOptions(same=1, other=2, ring=2, border=0, edges="published")
    maps_of = field(8, 10)
    asked = Queries(
        torch.tensor([0]), torch.tensor([[0, 0]]), torch.tensor([[0, 0]]), torch.zeros(0, 2).long()
    )
    both = compare(maps_of, maps_of, asked, published)
    assert both.counted.all() and both.scores[0, 1:3].tolist() == [1, 1]  # the truth itself


def test_queries_lie_where_both_views_show_the_place() -> None:
    a_to_b = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    a_to_b[0, 0, 2], a_to_b[1, 1, 2] = 20.6, -30.4
    images = torch.zeros(2, 3, 64, 80)
    generator = torch.Generator().manual_seed(0)
    options = R2d2LossOptions(border=4, query_spacing=4)
    found = queries(Views(images, images, a_to_b), options, generator)
    assert set(found.views.tolist()) == {0, 1}
    moved = found.truth - found.xy
    assert moved[found.views == 0].unique(dim=0).tolist() == [[21, 0]]
    assert moved[found.views == 1].unique(dim=0).tolist() == [[0, -30]]
    for places in (found.truth, found.xy):
        assert places.amin() >= 0 and (places <= torch.tensor([79, 63])).all()
    assert found.xy[:, 0].min() >= 4 and found.xy[:, 0].max() <= 75
    assert len(found.distractors) == 18 * 14


def test_pixels_are_drawn_everywhere_but_along_the_border() -> None:
    options = R2d2LossOptions(border=3, query_spacing=1)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([draw_pixels((10, 12), options, generator) for _ in range(40)])
    assert drawn[:, 0].unique().tolist() == list(range(3, 9))
    assert drawn[:, 1].unique().tolist() == list(range(3, 7))
    tiny = draw_pixels((10, 12), R2d2LossOptions(border=3, query_spacing=50), generator)
    assert tiny.shape == (1, 2)


def test_a_map_of_b_as_seen_from_a() -> None:
    ramp = torch.arange(12.0).expand(1, 1, 9, 12)
    a_to_b = torch.eye(3, dtype=torch.float64)[None]
    a_to_b[0, 0, 2] = 2.5
    found, visible = into_a(ramp, a_to_b)
    assert found[0, 0, 4, :9].tolist() == pytest.approx([2.5 + x for x in range(9)])
    assert visible[0, 0, 4].tolist() == [True] * 9 + [False] * 3
    assert not visible[0, 0, 0].any()  # the outermost pixels do not count

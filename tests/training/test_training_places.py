import numpy as np
import pytest
import torch

from silk_sfm.training.places import NOWHERE, distances, is_inside, map_positions, move, read_maps
from silk_sfm.training.sight import Sight, Sighted, sight_figures


def test_moved_places() -> None:
    a_to_b = torch.eye(3, dtype=torch.float64)[None]
    a_to_b[0, 0, 2], a_to_b[0, 2, 0] = 6.0, 0.1  # (x + 6) / (1 + x / 10), y / (1 + x / 10)
    xy = torch.tensor([[[0.0, 0.0], [10.0, 4.0], [-10.0, 4.0], [-20.0, 4.0]]])
    expected = [[6.0, 0.0], [8.0, 2.0], [NOWHERE, NOWHERE], [NOWHERE, NOWHERE]]
    found = move(a_to_b, xy.requires_grad_())
    assert found.dtype == torch.float32
    assert found[0].tolist() == expected
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert xy.grad is not None and torch.isfinite(xy.grad).all()
    assert not xy.grad[0, 2:].any() and xy.grad[0, :2].any()


def test_places_keep_their_digits_far_from_the_origin() -> None:
    a_to_b = torch.eye(3, dtype=torch.float64)[None]
    a_to_b[0, :2, 2] = 1e5
    there = move(a_to_b, torch.tensor([[[0.125, 0.25]]], dtype=torch.float64))
    assert (there[0, 0] - 1e5).tolist() == pytest.approx([0.125, 0.25], abs=1e-9)


def test_the_outermost_pixels_are_not_inside() -> None:
    xy = torch.tensor([[0.0, 3.0], [0.1, 3.0], [8.9, 4.9], [9.0, 3.0], [5.0, 5.0]])
    assert is_inside(xy, (10, 6)).tolist() == [False, True, True, False, False]
    assert not is_inside(torch.full((1, 2), NOWHERE), (10, 6)).any()


def test_distances_of_near_points_do_not_drown_in_rounding() -> None:
    a, b = torch.full((1, 60, 2), 1000.0), torch.full((1, 60, 2), 1000.0)
    b[..., 0] += 0.25
    assert (distances(a, b) == 0.25).all()


def test_pixels_on_a_map() -> None:
    maps = torch.zeros(1, 1, 4, 8)  # of views of 64 x 32 pixels
    corners = torch.tensor([[0.0, 0.0], [63.0, 31.0]])
    assert map_positions(corners, (64, 32), maps, "original").tolist() == [[0, 0], [7, 3]]
    exact = map_positions(corners, (64, 32), maps, "half-pixel")
    assert exact.tolist() == [[-0.4375, -0.4375], [7.4375, 3.4375]]
    centre = torch.tensor([[3.5, 3.5]])  # of the first cell of 8 x 8 pixels
    assert map_positions(centre, (64, 32), maps, "half-pixel").tolist() == [[0, 0]]


def test_maps_between_their_cells() -> None:
    maps = torch.stack([torch.arange(12.0).reshape(3, 4), torch.ones(3, 4)])[None]
    at = torch.tensor([[[0.0, 0.0], [3.0, 2.0], [1.5, 1.25], [-0.5, 1.0]]])
    found = read_maps(maps, at)[0]
    assert found[:, 0].tolist() == pytest.approx([0, 11, 1.5 + 4 * 1.25, 4 / 2])
    assert found[:, 1].tolist() == pytest.approx([1, 1, 1, 0.5])


def sighted(shared: list[bool], repeated: list[bool]) -> Sighted:
    nothing = np.zeros((1, 1, 3), np.uint8)
    return Sighted(
        np.zeros((1, 1)),
        np.zeros((len(shared), 2)),
        np.array(shared, bool),
        np.array(repeated, bool),
        nothing,
    )


def test_figures_of_what_is_seen() -> None:
    a = sighted([True, True, True, False], [True, False, True, False])
    b = sighted([True, True, False], [True, True, False])
    matches = np.array([[0, 0], [1, 2], [3, 1]])
    found = sight_figures(Sight(a, b, matches, np.array([True, False, True])))
    assert float(found["repeatability"]) == pytest.approx(4 / 5)
    assert float(found["matching"]) == pytest.approx(1 / 2)  # the third lies beyond b


def test_figures_of_nothing() -> None:
    nothing = sighted([], [])
    found = sight_figures(
        Sight(nothing, nothing, np.zeros((0, 2), np.int64), np.zeros(0, dtype=bool))
    )
    assert {name: float(value) for name, value in found.items()} == {
        "repeatability": 0.0,
        "matching": 0.0,
    }

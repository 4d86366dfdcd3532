import json
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch import Tensor

from silk_sfm.geometry.homography import apply_homography
from silk_sfm.training.correspondences import (
    NONE,
    mutual_correspondences,
    nearest_cells,
    warp_cells,
)

RECORDED = ["pvgg-micro_pad0_30x36", "pvgg-4_pad0_44x40", "pvgg-micro_pad1_24x20"]
PERSPECTIVE = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0, 1]])


@cache
def recorded() -> dict[str, np.ndarray]:
    return dict(np.load(shared("reference", "loss.npz")))


def recorded_shape(case: str) -> tuple[int, int]:
    info = json.loads(shared("reference", "loss_info.json").read_text())[f"corr/{case}/"]
    return info["descriptor_h"], info["descriptor_w"]


def tensor(key: str) -> Tensor:
    return torch.from_numpy(recorded()[key])


def shift(x: float, y: float) -> Tensor:
    return torch.tensor([[[1.0, 0, x], [0, 1, y], [0, 0, 1]]], dtype=torch.float64)


def matches(a_to_b: Tensor, shape_a: tuple[int, int], shape_b: tuple[int, int]) -> list[Tensor]:
    to_b, to_a = warp_cells(a_to_b, shape_a), warp_cells(torch.linalg.inv(a_to_b), shape_b)
    return list(mutual_correspondences(to_b, to_a, shape_a, shape_b))


# ---------- recorded behaviour of the original ----------


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_cells(case: str) -> None:
    shape = recorded_shape(case)
    for way in ("forward", "backward"):
        positions = tensor(f"corr/{case}/warped_{way}_xy") - 0.5  # theirs: +0.5 at centres
        expected = tensor(f"corr/{case}/corr_{way}_before_mutual")
        assert torch.equal(nearest_cells(positions, shape), expected.long())


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_mutual_correspondences(case: str) -> None:
    shape = recorded_shape(case)
    to_b, to_a = (tensor(f"corr/{case}/warped_{way}_xy") - 0.5 for way in ("forward", "backward"))
    found = mutual_correspondences(to_b, to_a, shape, shape)
    for cells, way in zip(found, ("forward", "backward"), strict=True):
        assert cells.dtype == torch.int64
        assert torch.equal(cells, tensor(f"corr/{case}/corr_{way}").long())


@pytest.mark.parametrize(("order", "turned"), [("xy", False), ("yx", True)])
@pytest.mark.parametrize("size", [1.0, 2.0])
def test_recorded_edges(order: str, turned: bool, size: float) -> None:
    positions = tensor("edge/positions_float32_w4_h3") / size - 0.5
    expected = tensor(f"edge/corr_{order}_cell{size}").long()
    expected[:, -1] = NONE  # the original takes NaN for 0
    found = nearest_cells(positions.flip(-1) if turned else positions, (3, 4))
    assert torch.equal(found, expected)


def test_recorded_choice_of_mutual_ones() -> None:
    to_b, to_a = (on_a_line(tensor(f"edge/keep_in_{i}")) for i in (0, 1))
    found = mutual_correspondences(to_b, to_a, (1, 6), (1, 6))
    for cells, i in zip(found, (0, 1), strict=True):
        assert torch.equal(cells, tensor(f"edge/keep_out_{i}").long())


def on_a_line(cells: Tensor) -> Tensor:
    """Positions on a grid of one row; NaN for NONE."""
    x = torch.where(cells == NONE, torch.nan, cells.double())
    return torch.stack([x, torch.zeros_like(x)], dim=-1)


# ---------- known answers ----------


def test_cells_are_warped_row_by_row() -> None:
    found = warp_cells(shift(10, 20), (2, 3))
    expected = [[10, 20], [11, 20], [12, 20], [10, 21], [11, 21], [12, 21]]
    assert found.dtype == torch.float64
    assert found.tolist() == [expected]


def test_perspective_divides_by_the_third_coordinate() -> None:
    found = warp_cells(PERSPECTIVE[None], (2, 3))[0]
    expected = [[0, 0], [2 / 3, 0], [1, 0], [0, 1], [2 / 3, 2 / 3], [1, 0.5]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_points_behind_the_camera_are_nowhere() -> None:
    behind = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [-0.5, 0, 1]]])
    found = warp_cells(behind, (1, 4))[0]  # third coordinates 1, 0.5, 0, -0.5
    assert found[:2].tolist() == [[0, 0], [2, 0]]
    assert found[2:].isnan().all()
    assert nearest_cells(found, (1, 4)).tolist() == [0, 2, NONE, NONE]


@pytest.mark.parametrize(
    ("position", "cell"),
    [
        ((-0.5, -0.5), 0),
        ((0.49, 0), 0),
        ((0.5, 0), 1),
        ((2.49, 1.49), 5),
        ((-0.51, 0), NONE),
        ((2.5, 0), NONE),
        ((0, 1.5), NONE),
        ((torch.inf, 0), NONE),
        ((0, -torch.inf), NONE),
        ((torch.nan, torch.nan), NONE),
        ((1e300, 0), NONE),
    ],
)
def test_a_cell_reaches_half_a_cell_around_its_centre(
    position: tuple[float, float], cell: int
) -> None:
    assert nearest_cells(torch.tensor(position, dtype=torch.float64), (2, 3)).item() == cell


def test_an_image_corresponds_to_itself() -> None:
    same = torch.arange(35)[None]
    for found in matches(shift(0.4, -0.4), (5, 7), (5, 7)):
        assert torch.equal(found, same)


def test_a_shift_by_whole_cells_between_grids_of_different_shape() -> None:
    to_b, to_a = matches(shift(-1, 0), (2, 3), (3, 2))
    assert to_b.tolist() == [[NONE, 0, 1, NONE, 2, 3]]
    assert to_a.tolist() == [[1, 2, 4, 5, NONE, NONE]]


def test_magnification_leaves_one_of_several_cells() -> None:
    twice = torch.diag(torch.tensor([2.0, 2, 1], dtype=torch.float64))[None]
    to_b, to_a = matches(twice, (2, 2), (4, 4))
    assert to_b.tolist() == [[0, 2, 8, 10]]
    assert (to_a >= 0).sum() == 4


def test_no_pairs_of_views() -> None:
    to_b, to_a = mutual_correspondences(torch.zeros(0, 6, 2), torch.zeros(0, 4, 2), (2, 3), (2, 2))
    assert (to_b.shape, to_a.shape) == ((0, 6), (0, 4))


@pytest.mark.parametrize(
    ("to_b", "to_a", "message"),
    [
        ((1, 5, 2), (1, 4, 2), "to_b must be (N, 6, 2) for a grid of 2 x 3 cells, got (1, 5, 2)."),
        ((1, 6, 2), (4, 2), "to_a must be (N, 4, 2) for a grid of 2 x 2 cells, got (4, 2)."),
    ],
)
def test_wrong_shapes_are_refused(
    to_b: tuple[int, ...], to_a: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError) as raised:
        mutual_correspondences(torch.zeros(to_b), torch.zeros(to_a), (2, 3), (2, 2))
    assert str(raised.value) == message


# ---------- invariants ----------

sizes = st.integers(1, 9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), sizes, sizes, sizes, sizes)
def test_correspondences_lead_back(seed: int, h_a: int, w_a: int, h_b: int, w_b: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a_to_b = torch.eye(3, dtype=torch.float64) + 0.2 * torch.randn(
        3, 3, 3, dtype=torch.float64, generator=generator
    )
    to_b, to_a = matches(a_to_b, (h_a, w_a), (h_b, w_b))
    for forward, backward in ((to_b, to_a), (to_a, to_b)):
        item, cell = (forward != NONE).nonzero(as_tuple=True)
        assert torch.equal(backward[item, forward[item, cell]], cell)
    assert int((to_b != NONE).sum()) == int((to_a != NONE).sum())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), sizes, sizes)
def test_cells_move_as_points_do(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.eye(3, dtype=torch.float64)
    matrix += 0.05 * torch.randn(3, 3, dtype=torch.float64, generator=generator)
    rows, columns = np.mgrid[:height, :width]
    points = np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64)
    expected = apply_homography(matrix.numpy(), points)
    behind = np.column_stack([points, np.ones(len(points))]) @ matrix.numpy()[2] <= 0
    expected[behind] = np.nan
    np.testing.assert_allclose(warp_cells(matrix[None], (height, width))[0], expected, rtol=1e-9)

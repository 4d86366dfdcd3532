"""The homographies of SiLK's training, as recorded from the original.

How the original samples an image and moves a point stands here alone: its two ways disagree by half
a pixel, ours do not.
"""

from functools import cache

import numpy as np
import pytest
import torch
from shared_data import shared
from torch import Tensor
from torch.nn import functional

from silk_sfm.training.homographies import smallest_depths, window_matrices

MATRIX_ATOL = 1e-7
DEPTH_MARGIN = 1e-8
"""The original adds this to what it divides by."""
Array = np.ndarray


@cache
def recorded(file: str = "homography.npz") -> dict[str, Array]:
    return dict(np.load(shared("reference", file)))


# ---------- matrices ----------


def close(found: Tensor | Array, key: str) -> None:
    np.testing.assert_allclose(np.asarray(found), recorded()[key], rtol=0, atol=MATRIX_ATOL)


def production(scale: float, x: float, y: float, z: float) -> Tensor:
    return window_matrices(*(torch.tensor([value]) for value in (scale, x, y, z)))


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("scale_0.7", (0.7, 0.0, 0.0, 0.0)),
        ("rotate_x_+0.4", (1.0, 0.4, 0.0, 0.0)),
        ("rotate_x_-0.4", (1.0, -0.4, 0.0, 0.0)),
        ("rotate_y_+0.4", (1.0, 0.0, 0.4, 0.0)),
        ("rotate_y_-0.4", (1.0, 0.0, -0.4, 0.0)),
        ("rotate_z_+0.4", (1.0, 0.0, 0.0, 0.4)),
        ("rotate_z_-0.4", (1.0, 0.0, 0.0, -0.4)),
        ("rotate_z_+0.4_clockwise", (1.0, 0.0, 0.0, -0.4)),
    ],
)
def test_one_operation(operation: str, parameters: tuple[float, float, float, float]) -> None:
    matrices = window_matrices(
        *(torch.tensor([value], dtype=torch.float64) for value in parameters)
    )
    close(matrices, f"op/{operation}/forward")
    close(torch.linalg.inv(matrices), f"op/{operation}/backward")


def window(*operations: tuple[str, float, float]) -> Array:
    """(3, 3): window (u, v, 1) to (x, y, depth), by operations one after the other."""
    x, y, depth = np.eye(3)
    one = np.array([0.0, 0.0, 1.0])
    for name, p, q in operations:
        c, s = np.cos(p), np.sin(p)
        if name == "scale":
            x, y = p * x, q * y
        elif name == "x":
            y, depth = c * y - s * (depth - one), one + s * y + c * (depth - one)
        elif name == "y":
            x, depth = c * x + s * (depth - one), one + c * (depth - one) - s * x
        elif name == "z":
            x, y = c * x + s * y, c * y - s * x
        elif name == "shift":
            x, y = x + p * depth, y + q * depth
    return np.stack([x, y, depth])


@pytest.mark.parametrize(
    ("key", "operations"),
    [
        ("op/scale_xy_0.5_0.8", [("scale", 0.5, 0.8)]),
        ("op/shift_0.25_-0.1", [("shift", 0.25, -0.1)]),
        (
            "op/scale0.8_x0.5_y-0.3_z0.2_shift(0.1,-0.2)",
            [
                ("scale", 0.8, 0.8),
                ("x", 0.5, 0),
                ("y", -0.3, 0),
                ("z", 0.2, 0),
                ("shift", 0.1, -0.2),
            ],
        ),
        (
            "op/shift(0.3,-0.2)_localz0.4_localscale0.6",
            [("scale", 0.6, 0.6), ("z", 0.4, 0), ("shift", 0.3, -0.2)],
        ),
    ],
)
def test_operations_that_training_does_not_use(
    key: str, operations: list[tuple[str, float, float]]
) -> None:
    matrix = window(*operations)
    close((matrix / matrix[2, 2])[None], f"{key}/forward")


def test_matrices_of_training() -> None:
    scale, x, y, z = torch.from_numpy(recorded()["train/params_scale_x_y_z"]).unbind(1)
    matrices = window_matrices(scale, x, y, z)
    close(matrices, "train/forward_matrices")
    close(torch.linalg.inv(matrices), "train/backward_matrices")


def test_matrices_with_translation() -> None:
    parameters = recorded()["with_translation/params_scale_x_y_z_tx_ty"]
    for i, (scale, x, y, z, tx, ty) in enumerate(parameters):
        steps = [("scale", scale, scale), ("x", x, 0), ("y", y, 0), ("z", z, 0), ("shift", tx, ty)]
        matrix = window(*steps)
        expected = recorded()["with_translation/forward_matrices"][i]
        np.testing.assert_allclose(matrix / matrix[2, 2], expected, rtol=0, atol=MATRIX_ATOL)


def test_a_corner_behind_the_camera() -> None:
    matrices = window_matrices(*torch.from_numpy(recorded()["behind/params_scale_x_y_z"])[:, None])
    close(matrices, "behind/forward")
    expected = recorded()["behind/homogeneous_corners"][0, :, 2].min()
    assert expected < 0  # the original draws such a matrix, ours does not
    assert float(smallest_depths(matrices)[0]) == pytest.approx(expected, abs=1e-7)


# ---------- the original's images ----------


def warped_as_published(images: Tensor, matrices: Tensor, mode: str = "bilinear") -> Tensor:
    """(N, C, H, W) images read where (N, 3, 3) normalised matrices say.

    End pixels of the grid lie at -1 and 1, but the image is read with its borders there.
    """
    height, width = images.shape[2:]
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, dtype=torch.float64),
        torch.linspace(-1, 1, width, dtype=torch.float64),
        indexing="ij",
    )
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3) @ matrices.mT
    grid = (points[..., :2] / points[..., 2:]).reshape(-1, height, width, 2)
    return functional.grid_sample(images, grid.to(images), mode, "zeros", align_corners=False)


def pattern(n: int) -> Tensor:
    return torch.from_numpy(recorded()["pattern_60x80"]).expand(n, 1, -1, -1)


def close_images(found: Tensor, expected: Array, share: float = 0.999) -> None:
    """On almost all pixels: those at the border of the image depend on rounding."""
    same = np.abs(found.squeeze(1).numpy() - expected) <= 1e-4 * max(1.0, np.abs(expected).max())
    assert same.mean() >= share


@pytest.mark.parametrize(
    ("key", "matrices", "mode"),
    [
        ("train/warped_forward", "train/forward_matrices", "bilinear"),
        ("train/warped_backward_first4", "train/backward_matrices", "bilinear"),
        ("train/warped_forward_nearest_first2", "train/forward_matrices", "nearest"),
        ("identity/warped", "identity/matrix", "bilinear"),
        ("behind/warped", "behind/forward", "bilinear"),
    ],
)
def test_images(key: str, matrices: str, mode: str) -> None:
    expected = recorded()[key].reshape(-1, 60, 80)
    given = torch.from_numpy(recorded()[matrices]).reshape(-1, 3, 3)[: len(expected)]
    close_images(warped_as_published(pattern(len(expected)), given, mode), expected)


def test_the_identity_moves_the_image() -> None:
    found = warped_as_published(pattern(1), torch.eye(3, dtype=torch.float64)[None])
    assert float((found - pattern(1)).abs().max()) > 0.1


def test_images_of_the_recorded_step() -> None:
    step = recorded("train_step.npz")
    images = torch.from_numpy(step["images_uint8"]).float()
    warped = warped_as_published(images, torch.from_numpy(step["forward_matrices"]))
    both = torch.stack([images, warped], dim=1).flatten(0, 1)
    close_images(both.flatten(0, 1)[:, None], step["warped_images"].reshape(-1, 36, 42))


# ---------- the original's points ----------


def moved_as_published(points: Array, matrix: Array, size: tuple[int, int]) -> Array:
    """(N, 2) float32 pixels with centres at +0.5, in an image of (width, height)."""
    half = np.array(size, dtype=np.float32) / 2
    quarter = np.float32(0.25) / half  # of a pixel
    normalised = (points - half) / half + quarter  # in float32: felt near the horizon
    moved = np.column_stack([normalised, np.ones(len(points))]) @ matrix.T
    return (moved[:, :2] / (moved[:, 2:] + DEPTH_MARGIN) - quarter + 1) * half


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_points(way: str) -> None:
    points = recorded()["train/points_xy"]
    opposite = "backward" if way == "forward" else "forward"  # the names cross
    for i, matrix in enumerate(recorded()[f"train/{opposite}_matrices"]):
        expected = recorded()[f"train/points_{way}_xy"][i]
        found = moved_as_published(points, matrix, (80, 60))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("case", "size", "offset"),
    [
        ("pvgg-micro_pad0_30x36", (36, 30), 3),
        ("pvgg-4_pad0_44x40", (40, 44), 9),
        ("pvgg-micro_pad1_24x20", (20, 24), 0),
    ],
)
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_cells(case: str, size: tuple[int, int], offset: int, way: str) -> None:
    loss = recorded("loss.npz")
    cells = loss[f"corr/{case}/descriptor_positions_xy"]
    opposite = "backward" if way == "forward" else "forward"
    for i, matrix in enumerate(loss[f"corr/{case}/{opposite}_matrices"]):
        found = moved_as_published(cells + np.float32(offset), matrix, size) - offset
        expected = loss[f"corr/{case}/warped_{way}_xy"][i]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)

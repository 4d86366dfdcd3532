import dataclasses
import math

import numpy as np
import pytest
import torch
from photo_files import wave_at, wave_stack, waves

from silk_sfm.training.homographies import WarpOptions
from silk_sfm.training.stack import stack_photos
from silk_sfm.training.views import ViewOptions, Views, draw_views

STRONG = WarpOptions(0.5, 1.3, tilt=0.8, turn=0.4, any_turn=0.3, distance=2, both=True)


def pairs(
    stack: object, n: int, warps: WarpOptions = STRONG, size: int = 40, texture: float = 0
) -> Views:
    shares = torch.ones(len(stack))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(3)
    return draw_views(stack, shares, size, n, warps, ViewOptions(texture), 1.0, generator)  # type: ignore[arg-type]


def place(matrix: torch.Tensor, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a view lie after a homography."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    moved = matrix.numpy() @ np.stack([x.ravel(), y.ravel(), np.ones(size**2)])
    return moved[0] / moved[2], moved[1] / moved[2]


def test_both_views_show_the_same_thing_at_corresponding_pixels() -> None:
    """A photo whose red is the x and whose green is the y of its pixels says where a view looks."""
    x, y = torch.meshgrid(torch.arange(250), torch.arange(240), indexing="xy")
    stack = stack_photos([torch.stack([x, y, x * 0]).to(torch.uint8)])
    views = pairs(stack, 30)
    for a, b, matrix in zip(views.a, views.b, views.a_to_b, strict=True):
        column, row = (part.reshape(40, 40) for part in place(matrix, 40))
        inside = (column > 0) & (column < 39) & (row > 0) & (row < 39)
        left, top = np.floor(column[inside]).astype(int), np.floor(row[inside]).astype(int)
        u, v = column[inside] - left, row[inside] - top
        image = b.numpy()[:2] * 255
        found = (
            image[:, top, left] * (1 - u) * (1 - v)
            + image[:, top, left + 1] * u * (1 - v)
            + image[:, top + 1, left] * (1 - u) * v
            + image[:, top + 1, left + 1] * u * v
        )
        expected = a.numpy()[:2][:, inside] * 255
        assert np.abs(found - expected).max(initial=0) < 0.75  # two roundings of smaller levels


def test_a_plain_crop_is_cut_out_and_its_warp_is_exact() -> None:
    stack = wave_stack((120, 100))
    views = pairs(stack, 20, WarpOptions(), size=32)
    photo = waves(120, 100).float() / 255
    windows = photo.unfold(1, 32, 1).unfold(2, 32, 1)  # (3, rows, columns, 32, 32)
    for a, b, matrix in zip(views.a, views.b, views.a_to_b, strict=True):
        apart = (windows - a[:, None, None]).abs().amax(dim=(0, 3, 4))
        row, column = divmod(int(apart.argmin()), apart.shape[1])
        assert float(apart[row, column]) == 0
        x, y = place(torch.linalg.inv(matrix), 32)
        expected = np.stack([wave_at(x + column, y + row, channel) for channel in range(3)])
        assert np.abs(b.numpy().reshape(3, -1) - expected).max() < 0.006  # 1/255 and interpolation


def test_views_stay_inside_of_small_photos() -> None:
    """No view sees beyond the border: the frame of the photo is red, all beyond would be, too."""
    photo = torch.zeros(3, 60, 70, dtype=torch.uint8)
    photo[:, 1:-1, 1:-1] = 200
    views = pairs(stack_photos([photo]), 100, dataclasses.replace(STRONG, scale_max=3), size=50)
    dark = (torch.cat([views.a, views.b]) < 0.3).float().mean(dim=(1, 2, 3))
    assert float(dark.max()) < 0.1  # a line along the border at most


def test_shrunk_views_do_not_alias() -> None:
    """A checkerboard of single pixels turns grey when a view shrinks it to a quarter."""
    x, y = torch.meshgrid(torch.arange(300), torch.arange(300), indexing="xy")
    board = ((x + y) % 2 * 255).to(torch.uint8).expand(3, -1, -1)
    warps = WarpOptions(4, 4, tilt=0, turn=0, both=True)
    views = pairs(stack_photos([board]), 5, warps)
    assert float((views.a - 0.5).abs().max()) < 0.01


def test_photos_are_drawn_by_their_shares() -> None:
    flat = [torch.full((3, 60, 60), value, dtype=torch.uint8) for value in (0, 100, 200)]
    stack = stack_photos(flat)
    shares = torch.tensor([1.0, 0.0, 3.0])
    generator = torch.Generator().manual_seed(0)
    views = draw_views(stack, shares, 20, 2000, WarpOptions(), ViewOptions(), 1.0, generator)
    seen = (views.a[:, 0, 0, 0] * 255).round()
    assert float((seen == 100).float().mean()) == 0
    assert float((seen == 200).float().mean()) == pytest.approx(0.75, abs=0.04)


def test_empty_places_are_drawn_less_often() -> None:
    photo = torch.full((3, 200, 400), 90, dtype=torch.uint8)
    photo[:, :, 200:] = torch.randint(
        0, 255, (200, 200), generator=torch.Generator().manual_seed(0)
    )
    stack = stack_photos([photo])
    plain = WarpOptions(1, 1, tilt=0, turn=0)

    def empty(texture: float) -> float:
        views = pairs(stack, 1000, plain, 30, texture)
        return float((views.a.std(dim=(1, 2, 3)) < 0.01).float().mean())

    assert empty(0) == pytest.approx(0.45, abs=0.08)
    assert empty(2) < 0.15  # places beside the texture count as textured


def test_a_batch_depends_on_its_generator_alone() -> None:
    stack = wave_stack((90, 80), (100, 120))
    first, again = pairs(stack, 4), pairs(stack, 4)
    assert torch.equal(first.a, again.a) and torch.equal(first.b, again.b)
    assert torch.equal(first.a_to_b, again.a_to_b)
    assert first.a.dtype == torch.float32 and first.a.shape == (4, 3, 40, 40)
    assert not math.isnan(float(first.b.sum()))

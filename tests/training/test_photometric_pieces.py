from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
from shared_data import shared
from torch import Tensor

from silk_sfm.training.photometric.filters import (
    box_kernels,
    filter_each,
    line_kernels,
    motion_kernels,
)
from silk_sfm.training.photometric.jpeg import LUMA_STEPS, lose_jpeg, quality_steps
from silk_sfm.training.photometric.levels import (
    add_noise,
    change_contrast,
    change_gamma,
    from_levels,
    hsv_to_levels,
    levels_to_hsv,
    shift_hsv,
    to_levels,
)
from silk_sfm.training.photometric.shading import shade
from silk_sfm.training.photometric.superpoint import change_contrast_about_mean, speckle


def pixel(*levels: float) -> Tensor:
    """(1, 3, 1, 1)"""
    return torch.tensor(levels).reshape(1, 3, 1, 1)


def values(images: Tensor) -> list[float]:
    return [round(value, 4) for value in images.flatten().tolist()]


def test_levels_are_cut_off_and_come_back() -> None:
    levels = torch.arange(256.0).reshape(1, 1, 16, 16)
    assert torch.equal(to_levels(from_levels(levels)), levels)
    assert values(to_levels(pixel(100.9 / 255, -0.1, 1.2))) == [100, 0, 255]


def test_gamma() -> None:
    # 255 sqrt(64 / 255) = 127.75; each image has its own exponent.
    levels = pixel(0, 64, 255).repeat(2, 1, 1, 1)
    assert values(change_gamma(levels, torch.tensor([0.5, 1.0]))) == [0, 127, 255, 0, 64, 255]


def test_contrast_and_brightness() -> None:
    # 0.5 v - 25.5
    changed = change_contrast(pixel(200, 51, 255), torch.tensor([0.5]), torch.tensor([-0.1]))
    assert values(changed) == [74, 0, 102]


def test_noise_is_added_and_cut_off() -> None:
    noise = pixel(0.55, -0.55, 30)
    assert values(add_noise(pixel(100, 100, 100), torch.tensor([10.0]), noise)) == [105, 94, 255]


@pytest.mark.parametrize(
    ("shift", "colour", "expected"),
    [
        ((60, 0, 0), (255, 0, 0), (0, 255, 0)),  # 120 degrees
        ((-60, 0, 0), (255, 0, 0), (0, 0, 255)),  # round by 360
        ((30, 0, 0), (0, 255, 255), (0, 0, 255)),
        ((0, -255, 0), (200, 20, 90), (200, 200, 200)),
        ((0, 0, -300), (200, 20, 90), (0, 0, 0)),
        ((0, 0, -55), (255, 0, 0), (200, 0, 0)),
        ((50, 0, 0), (77, 77, 77), (77, 77, 77)),  # grey has no hue
        ((0, 0, 0), (0, 0, 0), (0, 0, 0)),
        ((-0.5, 0, 0), (255, 0, 0), (255, 0, 8)),  # 179.5, cut to 179: 358 degrees
    ],
)
def test_hsv_shifts(
    shift: tuple[float, ...], colour: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    changed = shift_hsv(pixel(*colour), torch.tensor([shift], dtype=torch.float32))
    assert values(changed) == list(expected)


def test_hsv_is_that_of_opencv() -> None:
    steps = range(0, 256, 15)
    colours = np.array(list(itertools.product(steps, steps, steps)), np.uint8)[None]
    hsv = levels_to_hsv(as_tensor(colours))
    off = np.abs(as_array(hsv) - cv2.cvtColor(colours, cv2.COLOR_RGB2HSV))
    off[..., 0] = np.minimum(off[..., 0], 180 - off[..., 0])
    assert off.max() <= 1  # OpenCV divides by tables
    assert (off > 0).mean() < 0.05
    back = as_array(hsv_to_levels(hsv))
    opencv = cv2.cvtColor(as_array(hsv).astype(np.uint8), cv2.COLOR_HSV2RGB)
    assert np.abs(back - opencv).max() <= 1


def as_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, C) -> (1, C, H, W) float32"""
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def as_array(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).numpy()


def test_box_of_an_impulse() -> None:
    images = torch.zeros(2, 1, 11, 11)
    images[:, :, 5, 5] = 1
    filtered = filter_each(images, box_kernels(torch.tensor([3, 5]), 9), "mirror")
    for image, size in zip(filtered[:, 0], (3, 5), strict=True):
        low = 5 - size // 2
        expected = torch.zeros(11, 11)
        expected[low : low + size, low : low + size] = 1 / size**2
        torch.testing.assert_close(image, expected)


@pytest.mark.parametrize("size", [(20, 30), (5, 40), (2, 3)])
def test_blur_is_that_of_opencv(size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).random((*size, 3), np.float32)
    filtered = filter_each(as_tensor(photo), box_kernels(torch.tensor([7]), 9), "mirror")
    expected = cv2.blur(photo, (7, 7), borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(as_array(filtered), expected, atol=1e-5)


def test_a_kernel_is_correlated_not_mirrored() -> None:
    photo = np.random.default_rng(0).random((9, 12, 3), np.float32)
    kernel = np.arange(25, dtype=np.float32).reshape(5, 5)
    for border, opencv in (("mirror", cv2.BORDER_REFLECT_101), ("zero", cv2.BORDER_CONSTANT)):
        filtered = filter_each(as_tensor(photo), torch.from_numpy(kernel)[None], border)  # type: ignore[arg-type]
        expected = cv2.filter2D(photo, -1, kernel, borderType=opencv)
        np.testing.assert_allclose(as_array(filtered), expected, rtol=1e-4)


def test_lines_are_those_of_opencv() -> None:
    size, largest = 7, 11
    ends = np.array(list(itertools.product(range(size), repeat=4)))
    ends = ends[(ends[:, :2] != ends[:, 2:]).any(axis=1)]
    sizes = torch.full((len(ends),), size)
    kernels = line_kernels(sizes, torch.from_numpy(ends), largest).numpy()
    for (x0, y0, x1, y1), kernel in zip(ends.tolist(), kernels, strict=True):
        line = cv2.line(np.zeros((size, size), np.float32), (x0, y0), (x1, y1), 1.0, 1)
        expected = np.pad(line / line.sum(), (largest - size) // 2)
        np.testing.assert_allclose(kernel, expected, atol=1e-7)


@pytest.mark.parametrize("direction", [-1, 0, 1])
@pytest.mark.parametrize("angle", ["0.0000", "0.4000", "0.7854", "1.5708", "3.0000", "5.5000"])
@pytest.mark.parametrize("size", [3, 7])
def test_motion_kernels_are_as_recorded(size: int, angle: str, direction: int) -> None:
    recorded = np.load(shared("reference", "images_and_photometric.npz"))
    key = f"motion_kernel/k{size}/angle{angle}/direction{direction:+d}"
    kernels = motion_kernels(size, torch.tensor([float(angle)]), torch.tensor([float(direction)]))
    np.testing.assert_allclose(kernels[0].numpy(), recorded[key], atol=1e-5)


def test_motion_blur_is_as_recorded() -> None:
    recorded = np.load(shared("reference", "images_and_photometric.npz"))
    images = torch.from_numpy(recorded["motion_blur_input"])
    kernels = motion_kernels(3, torch.tensor([0.5, 2.0]), torch.zeros(2))
    blurred = filter_each(images, kernels, "zero").numpy()
    np.testing.assert_allclose(blurred, recorded["motion_blur_k3_angles_0.5_2.0"], atol=1e-5)


def test_contrast_about_the_mean_is_as_recorded() -> None:
    recorded = np.load(shared("reference", "images_and_photometric.npz"))
    images = torch.from_numpy(recorded["contrast_seed9_input_rgb"])
    changed = change_contrast_about_mean(images, torch.tensor([1.1557844877243042]))
    np.testing.assert_allclose(changed.numpy(), recorded["contrast_seed9_delta0.5"], atol=1e-6)


def test_speckle_sets_single_values() -> None:
    images = torch.full((2, 3, 1, 2), 0.5)
    chances = (
        torch.tensor([0.05, 0.5, 0.95, 0.15, 0.85, 0.11]).reshape(1, 3, 1, 2).repeat(2, 1, 1, 1)
    )
    spoilt = speckle(images, torch.tensor([0.1, 0.2]), chances)
    assert values(spoilt) == [0, 0.5, 1, 0.5, 0.5, 0.5, 0, 0.5, 1, 0, 1, 0]


def test_shading_multiplies_by_the_lights() -> None:
    lights = torch.log(torch.tensor([[[2.0, 2.0], [2.0, 2.0]], [[0.5, 1.0], [1.0, 2.0]]]))
    shaded = shade(torch.ones(2, 3, 7, 9), lights)
    torch.testing.assert_close(shaded[0], torch.full((3, 7, 9), 2.0))
    corners = shaded[1, :, ::6, ::8]
    torch.testing.assert_close(corners, torch.tensor([[0.5, 1.0], [1.0, 2.0]]).expand(3, 2, 2))
    steps = shaded[1, 0, 3].diff()
    assert (steps > 0).all()


def test_steps_of_jpeg() -> None:
    steps = quality_steps(torch.tensor([50.0, 100.0, 25.0, 1.0]))
    assert torch.equal(steps[0, 0], torch.tensor(LUMA_STEPS, dtype=torch.float32))
    assert (steps[1] == 1).all()
    assert steps[2, 0, 0, 0] == 32 and steps[2, 1, 0, 0] == 34
    assert (steps[3] == 255).all()


@pytest.mark.parametrize("quality", [15, 50, 90])
def test_jpeg_is_that_of_a_file(quality: int) -> None:
    photo = cv2.GaussianBlur(np.random.default_rng(1).random((50, 61, 3)) * 255, (0, 0), 1.5)
    photo = np.clip(photo * 3 - 255, 0, 255).astype(np.uint8)
    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    _, coded = cv2.imencode(".jpg", photo[..., ::-1], settings)
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    ours = lose_jpeg(as_tensor(photo) / 255, torch.tensor([float(quality)]))
    assert np.abs(photo - decoded).mean() > 3
    assert (
        np.abs(as_array(ours) * 255 - decoded).mean() < 0.5
    )  # levels; the files are made with whole numbers


def test_jpeg_of_flat_images() -> None:
    flat = torch.full((1, 3, 9, 3), 64 / 255)
    torch.testing.assert_close(lose_jpeg(flat, torch.tensor([90.0])), flat, atol=2 / 255, rtol=0)

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.training.photometric import (
    Camera,
    CameraOptions,
    Mixed,
    MixedOptions,
    PhotometricName,
    Rgb,
    RgbOptions,
    SuperPointLike,
    SuperPointLikeOptions,
    photometric,
    training_grey,
)
from silk_sfm.training.photometric.batches import (
    change_rows,
    change_some,
    for_images,
    odd_sizes,
    rows_of,
)
from silk_sfm.training.photometric.rgb import centred, draw_paths

NAMES: tuple[PhotometricName, ...] = get_args(PhotometricName)
AUGMENTATIONS = (Rgb(), SuperPointLike(), Mixed())
STILL_RGB = RgbOptions(any_change=0)
STILL_SUPERPOINT = SuperPointLikeOptions(brightness=0, contrast=0, noise=0, speckle=0, motion=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(n: int, height: int = 24, width: int = 31, seed: int = 5) -> Tensor:
    """Smooth 8-bit images in 0..1."""
    coarse = torch.rand(n, 3, 5, 5, generator=seeded(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return torch.floor(smooth * 255) / 255


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_the_result(name: PhotometricName) -> None:
    images, change = photos(8), photometric(name)
    before = images.clone()
    first, again = change(images, seeded(1)), change(images, seeded(1))
    assert first.shape == images.shape and first.dtype == torch.float32
    assert torch.equal(first, again)
    assert torch.equal(images, before)
    if name != "none":
        generator = seeded(1)
        change(images, generator)
        assert not torch.equal(first, change(images, generator))


def test_none_changes_nothing() -> None:
    images = photos(3)
    assert torch.equal(photometric("none")(images, seeded()), images)


@pytest.mark.parametrize("name", NAMES)
def test_no_images(name: PhotometricName) -> None:
    assert photometric(name)(torch.zeros(0, 3, 9, 11), seeded()).shape == (0, 3, 9, 11)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(AUGMENTATIONS),
    st.integers(1, 5),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 2**40),
)
def test_images_together_are_as_each_alone(
    augmentation: Any, n: int, height: int, width: int, seed: int
) -> None:
    images = photos(n, height, width, seed)
    draws = augmentation.draw(images, seeded(seed))
    together = augmentation.apply(images, draws)
    alone = [
        augmentation.apply(images[[row]], rows_of(draws, torch.tensor([row]))) for row in range(n)
    ]
    assert torch.isfinite(together).all()
    # Sums may be made in another order, and a level that is rounded may then be its neighbour.
    different = (together - torch.cat(alone)).abs() > 1e-5
    assert different.float().mean() < 0.01


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**40))
def test_nothing_happens_at_zero_strength(n: int, height: int, width: int, seed: int) -> None:
    images = photos(n, height, width, seed)
    assert torch.equal(Rgb(STILL_RGB)(images, seeded(seed)), images)
    for still in (
        SuperPointLike(STILL_SUPERPOINT),
        Mixed(MixedOptions(0, 0, 0.7, 3, 0, (20, 90), STILL_RGB, STILL_SUPERPOINT)),
        Mixed(MixedOptions(1, 0, 0.7, 3, 0, (20, 90), STILL_RGB, STILL_SUPERPOINT)),
    ):
        torch.testing.assert_close(still(images, seeded(seed)), images, atol=1e-6, rtol=0)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["rgb", "superpoint", "mixed"])
def test_no_part_waits_for_a_device(augmentation: Any) -> None:
    """Tensors without values: whatever asks for one fails."""
    images = photos(4, 20, 20)
    draws = on_meta(augmentation.draw(images, seeded()))
    assert augmentation.apply(images.to("meta"), draws).shape == images.shape


def on_meta(draws: Any) -> Any:
    if isinstance(draws, Tensor):
        return draws.to("meta")
    values = (getattr(draws, field.name) for field in dataclasses.fields(draws))
    return type(draws)(*map(on_meta, values))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=["rgb", "superpoint", "mixed"])
def test_a_gpu_changes_images_as_a_cpu_does(augmentation: Any) -> None:
    images = photos(16, 40, 50).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        draws = augmentation.draw(images, torch.Generator("cuda").manual_seed(0))
        changed = augmentation.apply(images, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    rows = torch.arange(16)
    expected = augmentation.apply(images.cpu(), on_cpu(draws))
    different = (changed.cpu() - expected)[rows].abs() > 1e-4
    assert different.float().mean() < 0.01


def on_cpu(draws: Any) -> Any:
    if isinstance(draws, Tensor):
        return draws.cpu()
    values = (getattr(draws, field.name) for field in dataclasses.fields(draws))
    return type(draws)(*map(on_cpu, values))


def test_some_images_are_changed() -> None:
    images, chosen = photos(4), torch.tensor([False, True, False, True])
    gains = torch.tensor([2.0, 3.0, 5.0, 7.0])

    def gain(some: Tensor, factors: Tensor) -> Tensor:
        return some * for_images(factors)

    expected = images * for_images(torch.where(chosen, gains, 1))
    assert torch.equal(change_some(images, chosen, gain, gains), expected)
    assert torch.equal(change_rows(images, torch.tensor([1, 3]), gain, gains), expected)
    assert change_rows(images, torch.zeros(0, dtype=torch.int64), gain, gains) is images


def test_odd_sizes_are_all_drawn_alike() -> None:
    sizes, counts = odd_sizes(8000, 3, 9, seeded()).unique(return_counts=True)
    assert sizes.tolist() == [3, 5, 7, 9]
    assert counts.min() > 1800 and counts.max() < 2200


def test_rgb_draws_have_the_published_ranges() -> None:
    n = 20_000
    draws = Rgb().draw(torch.zeros(n, 3, 1, 1), seeded())
    shares = draws.used.float().mean(dim=0)
    expected = 0.95 * torch.tensor([0.1, 0.1, 0.1, 0.2, 0.5, 0.5])
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)
    # 0.05 + 0.95 * 0.9^3 * 0.8 * 0.5^2 of the images keep all levels.
    assert float((~draws.used).all(dim=1).float().mean()) == pytest.approx(0.1885, abs=0.01)
    for values, low, high in (
        (draws.gammas, 0.15, 0.65),
        (draws.shifts[:, 0], -20, 20),
        (draws.shifts[:, 1], -30, 30),
        (draws.shifts[:, 2], -100, -40),
        (draws.contrasts, 0.5, 1.3),
        (draws.brightnesses, -0.3, 0.0),
        (draws.deviations.square(), 10, 50),
    ):
        check_uniform(values, low, high)
    assert draws.box_sizes.unique().tolist() == [3, 5, 7, 9]
    assert draws.path_sizes.unique().tolist() == list(range(3, 26, 2))
    assert float(draws.noise.std()) == pytest.approx(1, abs=0.02)


def test_superpoint_draws_have_the_published_ranges() -> None:
    n = 20_000
    draws = SuperPointLike().draw(torch.zeros(n, 3, 1, 1), seeded())
    for values, low, high in (
        (draws.brightnesses, -0.5, 0.5),
        (draws.contrasts, 0.5, 1.5),
        (draws.deviations, 0, 0.04),
        (draws.speckles, 0, 0.0035),
        (draws.chances.flatten(), 0, 1),
        (draws.angles, 0, 2 * math.pi),
    ):
        check_uniform(values, low, high)
    assert float(draws.blurred.float().mean()) == pytest.approx(0.5, abs=0.02)


def check_uniform(values: Tensor, low: float, high: float) -> None:
    """Within the limits, reaching them, and as much in each fifth."""
    assert low <= values.min() and values.max() <= high
    counts = torch.histc(values, bins=5, min=low, max=high) / len(values)
    assert (counts - 0.2).abs().max() < 0.02


def test_no_path_is_a_point_and_all_lie_in_their_square() -> None:
    sizes = odd_sizes(20_000, 3, 25, seeded())
    paths = draw_paths(sizes, seeded(1))
    assert ((paths >= 0) & (paths < sizes[:, None])).all()
    assert (paths[:, :2] != paths[:, 2:]).any(dim=1).all()
    upright = paths[:, 0] == paths[:, 2]
    assert float(upright[sizes == 3].float().mean()) == pytest.approx(1 / 3, abs=0.04)
    small = paths[(sizes == 3) & upright]
    pairs = {(int(y0), int(y1)) for _, y0, _, y1 in small}
    assert pairs == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}


def test_paths_in_place_are_in_the_middle() -> None:
    sizes = odd_sizes(2000, 3, 25, seeded())
    paths = draw_paths(sizes, seeded(1))
    moved = centred(paths, sizes)
    assert ((moved >= 0) & (moved < sizes[:, None])).all()
    assert torch.equal(moved[:, 2:] - moved[:, :2], paths[:, 2:] - paths[:, :2])
    off = moved[:, :2] + moved[:, 2:] - (sizes[:, None] - 1)
    assert set(off.unique().tolist()) == {-1, 0}
    options = RgbOptions(motion_in_place=True)
    draws = Rgb(options).draw(torch.zeros(500, 3, 1, 1), seeded())
    assert torch.equal(centred(draws.paths, draws.path_sizes), draws.paths)


def test_rgb_gives_levels_of_eight_bits() -> None:
    changed = Rgb()(torch.rand(30, 3, 16, 16, generator=seeded()), seeded(2)) * 255
    assert (changed - changed.round()).abs().max() < 1e-4
    assert changed.min() >= 0 and changed.max() <= 255.001


def test_superpoint_leaves_the_range_and_mixed_does_not() -> None:
    images = photos(60)
    free, kept = SuperPointLike()(images, seeded(3)), Mixed()(images, seeded(3))
    assert free.min() < -0.1 and free.max() > 1.1
    assert kept.min() >= 0 and kept.max() <= 1


def test_camera_stays_in_range_and_keeps_what_is_seen() -> None:
    images = photos(60)
    changed = Camera()(images, seeded(3))
    assert changed.min() >= 0 and changed.max() <= 1
    both = torch.stack([images, changed], dim=1).flatten(2)  # (N, 2, values)
    assert min(float(torch.corrcoef(pair)[0, 1]) for pair in both) > 0.6
    still = CameraOptions(0, 0, 3, (1, 1), 0, 0, (1, 1), 0, 0, 0)
    torch.testing.assert_close(Camera(still)(images, seeded()), images, atol=1e-6, rtol=0)


def test_camera_is_as_strong_as_its_options() -> None:
    images = photos(8)
    noisy = CameraOptions(0, 0, 3, (1, 1), 0, 0, (1, 1), 0, 0.1, 0)
    chosen = photometric("camera", noisy)(images, seeded(3))
    torch.testing.assert_close(chosen, Camera(noisy)(images, seeded(3)), atol=0, rtol=0)
    assert float((chosen - images).abs().mean()) > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blur": 1.5}, "blur is a share, 0 to 1, got 1.5."),
        ({"blur": 0.8, "motion": 0.3}, "blur and motion are shares of the same images"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1."),
        ({"shading_grid": 1}, "shading-grid must be at least 2, got 1."),
        ({"contrasts": (1.2, 0.8)}, "contrasts must be two numbers from 0 to inf, the smaller one"),
        ({"blur_sigmas": (0.0, 1.0)}, "blur-sigmas must be two numbers from 0.1 to 3, the smaller"),
        ({"jpeg_qualities": (50, 101)}, "jpeg-qualities must be two numbers from 1 to 100"),
    ],
)
def test_camera_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CameraOptions(**options)
    assert str(caught.value).startswith(message)


def test_mixed_is_one_or_the_other() -> None:
    images = photos(200, 6, 6)
    mixed = Mixed(MixedOptions(shading=0, jpeg=0))
    draws = mixed.draw(images, seeded(4))
    assert float(draws.is_rgb.float().mean()) == pytest.approx(0.5, abs=0.1)
    changed = mixed.apply(images, draws)
    rgb = Rgb(mixed.options.rgb_options).apply(images, draws.rgb)
    superpoint = SuperPointLike().apply(images, draws.superpoint).clamp(0, 1)
    expected = torch.where(for_images(draws.is_rgb), rgb, superpoint)
    assert ((changed - expected).abs() > 1e-5).float().mean() < 0.01


def test_training_grey_is_as_recorded() -> None:
    recorded = np.load(shared("reference", "images_and_photometric.npz"))
    image = torch.from_numpy(recorded["rgb_uint8"]).permute(2, 0, 1)[None].float() / 255
    grey = training_grey(image).numpy()
    np.testing.assert_allclose(grey, recorded["training_gray_0_255_then_divided"], atol=1e-6)


def test_training_grey_of_pure_colours() -> None:
    colours = torch.eye(3).reshape(3, 3, 1, 1)
    torch.testing.assert_close(
        training_grey(colours).flatten(), torch.tensor([0.2989, 0.587, 0.114])
    )
    assert training_grey(torch.zeros(0, 3, 4, 5)).shape == (0, 1, 4, 5)


def test_even_kernels_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        RgbOptions(motion_sizes=(3, 24))
    assert str(caught.value) == ("motion_sizes must be two odd numbers, smallest first, got 3, 24.")
    with pytest.raises(ConfigError) as caught:
        SuperPointLikeOptions(motion_size=4)
    assert str(caught.value) == "motion_size must be odd, 3 or more, got 4."

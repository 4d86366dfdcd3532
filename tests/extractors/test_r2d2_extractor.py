from dataclasses import replace

import numpy as np
import pytest
from recorded_others import recorded, rgb
from shared_data import shared

from silk_sfm.errors import ConfigError
from silk_sfm.extractors.r2d2 import R2d2, R2d2Options

IMAGE = "coffee_240x320"
CONFIGURATIONS: dict[str, R2d2Options] = {
    "default": R2d2Options(),
    "minsize96": R2d2Options(smallest_side=96),
    "minscale0p5_minsize0": R2d2Options(
        min_scale=0.5, max_scale=0.9, smallest_side=0, largest_side=9999
    ),
}


def make(options: R2d2Options) -> R2d2:
    path = shared("reference_others", "weights", "r2d2_WASF_N16.pt")
    return R2d2(replace(options, weights=str(path)))


def by_place(*columns: np.ndarray) -> np.ndarray:
    rows = np.column_stack(columns)
    return rows[np.lexsort(np.round(rows[:, :3], 2).T)]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CONFIGURATIONS))
def test_recorded_scales(name: str) -> None:
    expected = recorded("r2d2", f"multiscale_{name}_240x320")
    options = replace(CONFIGURATIONS[name], coordinates="original", top_k=0)
    found = make(options)(rgb(IMAGE))
    assert len(found) == expected["n_total"] and found.scales is not None
    np.testing.assert_allclose(
        by_place(found.keypoints, found.scales, found.scores),
        by_place(expected["all_xys"], expected["all_scores"]),
        atol=1e-4,
    )
    descriptors = expected.get("descriptors", expected.get("descriptors_top50"))
    assert descriptors is not None
    count = len(descriptors)
    np.testing.assert_allclose(
        found.keypoints[:count], expected["keypoints_xys"][::-1][:count, :2], atol=1e-3
    )
    np.testing.assert_allclose(found.descriptors[:count], descriptors[::-1], atol=1e-4)


@pytest.mark.slow
def test_windows_change_nothing() -> None:
    options = R2d2Options(top_k=0, multi_scale=False)
    whole = make(options)(rgb(IMAGE))
    windowed = make(replace(options, window_pixels=30_000))(rgb(IMAGE))
    first, second = (np.lexsort(each.keypoints.T) for each in (whole, windowed))
    np.testing.assert_array_equal(windowed.keypoints[second], whole.keypoints[first])
    np.testing.assert_allclose(windowed.descriptors[second], whole.descriptors[first], atol=1e-5)
    np.testing.assert_allclose(
        make(replace(options, window_pixels=30_000)).describe(rgb(IMAGE), whole.keypoints),
        whole.descriptors,
        atol=1e-5,
    )


def test_small_images_are_taken_as_they_are() -> None:
    """The original finds no size for them and fails."""
    image = rgb("astronaut_97x120")
    found = make(R2d2Options())(image)
    alone = make(R2d2Options(multi_scale=False))(image)
    assert len(found) == len(alone) > 50
    np.testing.assert_array_equal(found.keypoints, alone.keypoints)
    assert alone.scales is not None and set(alone.scales.tolist()) == {32.0}


def test_original_coordinates_are_off_at_small_sizes() -> None:
    options = R2d2Options(min_scale=0.5, max_scale=0.5, smallest_side=0)
    exact = make(options)(rgb(IMAGE)).keypoints
    original = make(replace(options, coordinates="original"))(rgb(IMAGE)).keypoints
    np.testing.assert_allclose(exact - original, 0.5, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min_scale": 0.9, "max_scale": 0.5}, r"^max_scale must be at least 0\.9, got 0\.5\.$"),
        ({"max_scale": 2.0}, r"^max_scale must lie in \[0, 1\], got 2\.0\.$"),
        ({"largest_side": 100}, r"^largest_side must be at least 256, got 100\.$"),
        ({"scale_factor": 1.0}, r"^scale_factor must be at least 1\.01, got 1\.0\.$"),
        ({"reliability": -0.1}, r"^reliability must lie in \[0, 1\], got -0\.1\.$"),
    ],
)
def test_options_are_checked(options: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        R2d2Options(**options)  # type: ignore[arg-type]

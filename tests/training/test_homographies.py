import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from silk_sfm.errors import ConfigError
from silk_sfm.training.homographies import (
    SMALLEST_DEPTH,
    WarpOptions,
    draw_matrices,
    smallest_depths,
    window_matrices,
)

CORNERS = torch.tensor([[-1, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], dtype=torch.float64)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value])


def drawn(n: int, options: WarpOptions, strength: float = 1, turned: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return draw_matrices(n, options, strength, torch.full((n,), turned), generator)


def test_known_windows() -> None:
    zero = one(0.0)
    plain = window_matrices(one(1.0), zero, zero, zero)
    assert torch.equal(plain, torch.eye(3, dtype=torch.float64)[None])
    half = window_matrices(one(0.5), zero, zero, zero)[0]
    assert half.diagonal().tolist() == [0.5, 0.5, 1]
    quarter = window_matrices(one(1.0), zero, zero, one(math.pi / 2))[0]
    assert torch.allclose(quarter @ CORNERS[0], torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    tilted = window_matrices(one(1.0), one(0.3), zero, zero)[0]
    below = tilted @ torch.tensor([0.0, 1, 1], dtype=torch.float64)
    assert torch.allclose(below[1:], torch.tensor([math.cos(0.3), 1 + math.sin(0.3)]).double())


@given(st.floats(0.1, 2), st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.floats(1, 5))
def test_the_nearest_corner_is_the_smallest_depth(
    scale: float, x: float, y: float, distance: float
) -> None:
    matrix = window_matrices(one(scale), one(x), one(y), one(0.2), distance)
    depths = (matrix[0] @ CORNERS.T)[2]
    assert float(smallest_depths(matrix)[0]) == pytest.approx(float(depths.min()), abs=1e-12)


def test_no_corner_is_near_or_behind_the_camera() -> None:
    published = drawn(20_000, WarpOptions())
    assert float(smallest_depths(published).min()) >= SMALLEST_DEPTH
    strong = drawn(2000, WarpOptions(scale_max=1.5, tilt=1.2))
    assert float(smallest_depths(strong).min()) >= SMALLEST_DEPTH


def test_draws_fill_their_ranges() -> None:
    flat = WarpOptions(scale_min=0.5, scale_max=2, tilt=0)
    matrices = drawn(20_000, flat)
    scales = torch.linalg.det(matrices).sqrt()
    turns = torch.atan2(matrices[:, 0, 1], matrices[:, 0, 0])
    assert 0.5 <= float(scales.min()) < 0.51 and 1.98 < float(scales.max()) <= 2
    assert float(scales.log().mean()) == pytest.approx(0, abs=0.02)
    assert 0.385 < float(turns.max()) <= 0.39 and -0.39 <= float(turns.min()) < -0.385
    turned = drawn(20_000, flat, turned=True)
    everywhere = torch.atan2(turned[:, 0, 1], turned[:, 0, 0])
    assert float(everywhere.abs().max()) > 3.1
    assert float(everywhere.mean()) == pytest.approx(0, abs=0.05)


def test_strength_shrinks_angles_and_scales_to_none() -> None:
    matrices = drawn(10, WarpOptions(scale_min=0.5, scale_max=2), strength=0)
    assert torch.allclose(matrices, torch.eye(3, dtype=torch.float64))
    half = torch.linalg.det(drawn(5000, WarpOptions(0.5, 2, tilt=0), strength=0.5)).sqrt()
    assert float(half.max()) == pytest.approx(math.sqrt(2), rel=0.01)


def test_the_curriculum_rises_linearly() -> None:
    options = WarpOptions(curriculum=200)
    assert [options.strength(at) for at in (0, 50, 200, 1000)] == [0, 0.25, 1, 1]
    assert WarpOptions().strength(0) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale_min": 0.0}, "scale-min must be above 0 and at most scale-max, got 0.0 and 0.9."),
        ({"scale_min": 1.0}, "scale-min must be above 0 and at most scale-max, got 1.0 and 0.9."),
        ({"tilt": 1.6}, "tilt must be in 0 to 1.57 and turn in 0 to 3.15 rad, got 1.6 and 0.39."),
        ({"any_turn": 1.5}, "any-turn is a share, 0 to 1, got 1.5."),
        (
            {"distance": 0.5},
            "distance must be at least 1 and curriculum at least 0, got 0.5 and 0.",
        ),
    ],
)
def test_ranges_that_make_no_sense_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(WarpOptions(), **change)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_ranges_without_any_view_in_front_of_the_camera_are_refused() -> None:
    with pytest.raises(ConfigError, match="Lower tilt or raise distance"):
        drawn(50, WarpOptions(scale_min=8, scale_max=8, tilt=1.5))

from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorded_others import recorded
from torch import Tensor
from torch.nn import functional

from silk_sfm.errors import ConfigError
from silk_sfm.training.r2d2_losses import (
    R2d2LossOptions,
    average_precision,
    peakiness_loss,
    reliability_loss,
    similarity_loss,
)

RTOL = 1e-5
"""Relative to the largest entry of a tensor."""
HISTOGRAMS = [(20, 0, 1, False), (25, 0, 1, False), (10, -1, 1, False), (20, 0, 1, True)]
"""Bins, range, and whether similarities became distances first."""


@cache
def tensor(file: str, key: str) -> Tensor:
    return torch.tensor(recorded("r2d2", file)[key])


def maps(key: str) -> Tensor:
    return tensor("loss_inputs", key).float()


def close(found: Tensor | None, expected: Tensor, rtol: float = RTOL) -> None:
    assert found is not None
    atol = rtol * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("bins", "low", "high", "by_distance"), HISTOGRAMS)
def test_recorded_average_precision(bins: int, low: int, high: int, by_distance: bool) -> None:
    scores = tensor("aploss", "x").clone().requires_grad_()
    right = tensor("aploss", "label").bool()
    compared = 1 - (2.001 - 2 * scores).clamp(min=0).sqrt() if by_distance else scores
    found = average_precision(compared, right, torch.ones_like(right), bins, low, high)
    case = f"nq{bins}_min{low}_max{high}_euc{int(by_distance)}"
    close(found.detach(), tensor("aploss", f"{case}_ap"))
    (1 - found).sum().backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    # On the centre of a bin there is a kink, and the mean of both slopes was recorded.
    smooth = ((compared.detach() - low) * (bins - 1) / (high - low) % 1 - 0.5).abs() < 0.5 - 1e-6
    smooth |= (compared.detach() <= low) | (compared.detach() >= high)
    assert int((~smooth).sum()) <= (5 if bins == 25 else 0)  # of 180
    close(scores.grad[smooth], tensor("aploss", f"{case}_grad")[smooth])


def as_recorded(second: Tensor) -> Tensor:
    """The second view's map in the first one's frame, with a half-pixel mistake at its borders."""
    flow = maps("aflow")
    last = torch.tensor([flow.shape[3] - 1.0, flow.shape[2] - 1.0])
    grid = (flow.permute(0, 2, 3, 1) / last * 2 - 1).nan_to_num(nan=9e9)
    return functional.grid_sample(second, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("patch", [16, 8])
def test_recorded_similarity(patch: int) -> None:
    a, b = (maps(f"rep{side}").requires_grad_() for side in (1, 2))
    loss = similarity_loss(a, as_recorded(b), torch.ones_like(a, dtype=torch.bool), patch)
    expected = float(tensor("repeatability_losses", f"cosim{patch}"))
    assert float(loss.detach()) == pytest.approx(expected, rel=RTOL)
    loss.backward()  # type: ignore[no-untyped-call]
    for side, view in ((1, a), (2, b)):
        close(view.grad, tensor("repeatability_losses", f"cosim{patch}_grad_rep{side}"))


@pytest.mark.parametrize("patch", [16, 8])
def test_recorded_peakiness(patch: int) -> None:
    views = [maps(f"rep{side}").requires_grad_() for side in (1, 2)]
    loss = peakiness_loss(torch.cat(views), patch, "published")
    expected = float(tensor("repeatability_losses", f"peaky{patch}"))
    assert float(loss.detach()) == pytest.approx(expected, rel=RTOL)
    loss.backward()  # type: ignore[no-untyped-call]
    for side, view in zip((1, 2), views, strict=True):
        close(view.grad, tensor("repeatability_losses", f"peaky{patch}_grad_rep{side}"))


def test_recorded_bins() -> None:
    """A score's shares of the bins are those of the recorded piecewise linear functions."""
    weight, bias = (tensor("aploss", f"quantizer20_{part}") for part in ("weight", "bias"))
    scores = torch.linspace(-0.3, 1.3, 97)
    lines = scores[:, None] * weight + bias  # (97, 40): rising, then falling
    shares = torch.minimum(lines[:, :20], lines[:, 20:]).clamp(min=0)
    for right in (0, 48, 96):  # alone among all others: precision at its own bins
        is_right = torch.arange(97) == right
        counts = shares.sum(dim=0).cumsum(0)
        expected = (shares[right].cumsum(0) / (1e-16 + counts) * shares[right]).sum()
        found = average_precision(
            scores[None], is_right[None], torch.ones(1, 97, dtype=torch.bool), 20
        )
        assert float(found) == pytest.approx(float(expected / shares[right].sum()), rel=1e-5)


def precision(scores: list[float], right: list[int], counted: list[bool] | None = None) -> float:
    is_right = torch.zeros(1, len(scores), dtype=torch.bool)
    is_right[0, right] = True
    there = torch.tensor([counted or [True] * len(scores)])
    return float(average_precision(torch.tensor([scores]), is_right, there, 21)[0])


def test_average_precision_of_a_known_order() -> None:
    assert precision([1.0, 0.5, 0.0], [0]) == pytest.approx(1.0)
    assert precision([1.0, 0.5, 0.0], [1]) == pytest.approx(1 / 2)
    assert precision([1.0, 0.5, 0.0], [2]) == pytest.approx(1 / 3)
    assert precision([1.0, 0.5, 0.0], [0, 2]) == pytest.approx((1 + 2 / 3) / 2)
    assert precision([0.5, 0.5], [0]) == pytest.approx(1 / 2)
    assert precision([7.0, 1.0, -3.0, 0.0], [0, 2]) == pytest.approx(1 / 2)  # beyond the range
    assert precision([1.0, 0.5, 0.0], [1], [False, True, True]) == pytest.approx(1.0)
    assert precision([1.0, 0.5], []) == 0.0
    assert precision([1.0, 0.5], [0], [False, True]) == 0.0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(-0.05, 0.05))
def test_average_precision_is_a_share(scores: list[float], change: float) -> None:
    found = precision(scores, [0])
    assert -1e-6 <= found <= 1 + 1e-6
    assert precision(scores[:1] + scores[1:][::-1], [0]) == pytest.approx(found, abs=1e-5)
    lower = [scores[0], *(score - 0.2 for score in scores[1:])]
    assert precision(lower, [0]) >= found - 1e-5


def test_the_same_map_seen_twice_is_alike() -> None:
    seen = torch.rand(2, 1, 32, 40, generator=torch.Generator().manual_seed(0))
    everywhere = torch.ones_like(seen, dtype=torch.bool)
    assert float(similarity_loss(seen, 3 * seen, everywhere, 8)) == pytest.approx(0, abs=1e-6)
    assert float(similarity_loss(seen, seen.flip(3), everywhere, 8)) > 0.1


def test_what_the_other_view_does_not_show_is_not_compared() -> None:
    seen = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    other, visible = seen.clone(), torch.ones_like(seen, dtype=torch.bool)
    other[..., 20:] = 0.0
    assert float(similarity_loss(seen, other, visible, 8)) > 0.1
    visible[..., 20:] = False
    assert float(similarity_loss(seen, other, visible, 8)) == pytest.approx(0, abs=1e-6)
    assert float(similarity_loss(seen, other, ~visible, 8)) == pytest.approx(1)
    assert float(similarity_loss(seen, other, torch.zeros_like(visible), 8)) == 1


def test_a_flat_map_has_no_peaks_anywhere() -> None:
    flat = torch.full((1, 1, 32, 32), 0.8)
    assert float(peakiness_loss(flat, 8, "masked")) == pytest.approx(1, abs=1e-6)
    assert float(peakiness_loss(flat, 8, "published")) < 0.95
    peaks = torch.zeros(1, 1, 45, 45)
    peaks[..., 4::9, 4::9] = 1.0
    # Each window of 9 x 9 has one peak, 1/9 after the smoothing, which spreads it but keeps it.
    assert float(peakiness_loss(peaks, 8, "published")) == pytest.approx(
        1 - 1 / 9 + 1 / 81, abs=5e-3
    )


def test_a_pixel_is_better_off_as_reliable_only_above_the_base() -> None:
    reliability = torch.tensor([0.0, 1.0])
    for ap, expected in ((0.8, [0.5, 0.2]), (0.5, [0.5, 0.5]), (0.1, [0.5, 0.9])):
        losses = [
            float(reliability_loss(torch.tensor([ap]), one[None], 0.5)) for one in reliability
        ]
        assert losses == pytest.approx(expected)
    assert float(reliability_loss(torch.zeros(0), torch.zeros(0), 0.5)) == 0.0


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="patch must be even and at least 2, got 7"):
        R2d2LossOptions(patch=7)
    with pytest.raises(ConfigError, match="same must be below other, and other at most ring, got"):
        R2d2LossOptions(same=5)
    with pytest.raises(ConfigError, match="base must be in 0 to 1, got 2"):
        R2d2LossOptions(base=2)
    with pytest.raises(ConfigError, match="bins must be at least 2, spacing and query-spacing at"):
        R2d2LossOptions(bins=1)
    with pytest.raises(ConfigError, match="similarity must be at least 0, got -1"):
        R2d2LossOptions(similarity=-1)

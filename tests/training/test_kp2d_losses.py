from functools import cache

import pytest
import torch
from recorded_others import made_weights, recorded
from torch import Tensor, nn

from silk_sfm.errors import ConfigError
from silk_sfm.nn.inlier_net import InlierNet, plain_name
from silk_sfm.training.kp2d_losses import (
    Cells,
    Kp2dLoss,
    Kp2dLossOptions,
    inlier_matches,
    kp2d_loss,
    lowest_cells,
    triplet_loss,
)
from silk_sfm.training.places import move

RTOL = 1e-5
"""Relative to the largest entry of a tensor."""
AS_RECORDED = Kp2dLossOptions(inlier_cells=100, outer_cells=True)
NAMES = {
    "location": "loc_loss",
    "descriptor": "descriptor_metric_loss",
    "score": "usp_loss",
    "agreement": "score_mse",
    "inliers": "io_loss",
    "recall": "recall",
}


def tensor(key: str, file: str = "losses") -> Tensor:
    return torch.tensor(recorded("kp2d", file)[key])


def inlier_net() -> InlierNet:
    made = InlierNet()
    weights = made_weights("kp2d", "ionet").items()
    made.load_state_dict({plain_name(name): value for name, value in weights})
    return made


def pixels_to_pixels(normalised: Tensor, size: tuple[int, int]) -> Tensor:
    """Homographies between coordinates in -1..1 of views of (width, height)."""
    width, height = size
    rows = [[2 / (width - 1), 0, -1], [0, 2 / (height - 1), -1], [0, 0, 1]]
    to_unit = torch.tensor(rows, dtype=torch.float64)
    return torch.linalg.inv(to_unit) @ normalised.double() @ to_unit


@cache
def recorded_step() -> tuple[Cells, Cells, Tensor]:
    sides = [
        Cells(*(tensor(f"{side}_{part}").requires_grad_() for part in ("score", "uv", "feat")))
        for side in ("source", "target")
    ]
    return (*sides, pixels_to_pixels(tensor("homography"), sides[0].size))  # type: ignore[return-value]


@cache
def recorded_losses() -> Kp2dLoss:
    a, b, a_to_b = recorded_step()
    losses = kp2d_loss(a, b, a_to_b, inlier_net().train(), AS_RECORDED)
    losses.total(AS_RECORDED).backward()  # type: ignore[no-untyped-call]
    return losses


@pytest.mark.parametrize("ours", NAMES)
def test_recorded_losses(ours: str) -> None:
    expected = float(tensor(NAMES[ours]))
    assert float(getattr(recorded_losses(), ours).detach()) == pytest.approx(expected, rel=RTOL)


def test_recorded_sums() -> None:
    losses = recorded_losses()
    total = float(losses.total(AS_RECORDED).detach())
    assert total == pytest.approx(float(tensor("total_w111")), rel=RTOL)
    heavier = Kp2dLossOptions(descriptor=4.0)
    total = float(losses.total(heavier).detach())
    assert total == pytest.approx(float(tensor("total_w121")), rel=RTOL)


@pytest.mark.parametrize("part", ["score", "uv", "feat"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_recorded_gradients(side: str, part: str) -> None:
    recorded_losses()
    cells = recorded_step()[("source", "target").index(side)]
    named = {"score": cells.scores, "uv": cells.places, "feat": cells.descriptors}
    found, expected = named[part].grad, tensor(f"grad_{side}_{part}")
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=0, atol=RTOL * float(expected.abs().max()))


@torch.no_grad()
def test_recorded_matches_of_the_inlier_net() -> None:
    a, b, a_to_b = recorded_step()
    matches, moved = inlier_matches(a, b, move(a_to_b, a.xy), AS_RECORDED)
    torch.testing.assert_close(matches, tensor("io_input")[..., 0], rtol=0, atol=1e-6)
    matched = (matches[:, 2:4].transpose(1, 2) + 1) * (torch.tensor(b.size) - 1) / 2
    right = (matched - moved).norm(dim=2) < AS_RECORDED.reach
    assert torch.equal(torch.where(right, 1.0, -1.0), tensor("io_gt"))


@torch.no_grad()
def test_recorded_triplets_of_all_points() -> None:
    a, b, _ = recorded_step()
    case = "descriptor_loss_nomask"
    moved = tensor("warped_px", case).flatten(2).transpose(1, 2)
    loss, recall = triplet_loss(
        a, b, moved, torch.ones(2, 192, dtype=torch.bool), Kp2dLossOptions(apart=8.0)
    )
    assert float(loss) == pytest.approx(float(tensor("loss", case)), rel=RTOL)
    assert float(recall) == pytest.approx(float(tensor("recall", case)))


def cells(scores: Tensor, shift: float = 0.0, axes: Tensor | None = None) -> Cells:
    """One view whose keypoints lie `shift` pixels right of the centres of their cells."""
    height, width = scores.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x * 8 + 3.5 + shift, y * 8 + 3.5])[None].float()
    if axes is None:
        axes = torch.eye(height * width)
    maps = axes.T.reshape(1, -1, height, width)
    return Cells(scores[None, None], places, maps)


class Verdicts(nn.Module):
    """The same verdict on all matches."""

    def __init__(self, verdict: float) -> None:
        super().__init__()
        self.verdict = verdict

    def forward(self, matches: Tensor) -> Tensor:
        return torch.full_like(matches[:, :1], self.verdict)


SAME = torch.eye(3, dtype=torch.float64)[None]
SIMPLE = Kp2dLossOptions(sampling="half-pixel")


def test_losses_of_known_keypoints() -> None:
    # All keypoints are 3 px off and have the score 0.5 in one view, 0.25 in the other.
    a, b = cells(torch.full((7, 9), 0.5)), cells(torch.full((7, 9), 0.25), 3.0)
    found = kp2d_loss(a, b, SAME, Verdicts(1.0), SIMPLE)
    assert float(found.location) == pytest.approx(3.0)
    assert float(found.score) == pytest.approx(0.0, abs=1e-6)
    assert float(found.agreement) == pytest.approx(0.25**2)
    assert float(found.recall) == 1.0
    assert float(found.inliers) == 0.0  # all 5 x 7 matches are right, and IO-Net says so
    blind = kp2d_loss(a, b, SAME, Verdicts(-1.0), SIMPLE)
    assert float(blind.inliers) == pytest.approx(4.0)


def test_what_is_too_far_away_or_not_seen_teaches_nothing() -> None:
    a, b = cells(torch.ones(7, 9)), cells(torch.ones(7, 9))
    far = SAME.clone()
    far[0, 0, 2] = 4.0  # between two keypoints: 4 px to each
    found = kp2d_loss(a, b, far, Verdicts(1.0), SIMPLE)
    assert float(found.location) == 0.0 and float(found.score) == 0.0
    far[0, 0, 2] = 500.0
    found = kp2d_loss(a, b, far, Verdicts(1.0), SIMPLE)
    assert vars(found).keys() == NAMES.keys()
    assert all(float(value) == 0.0 for value in vars(found).values())


def test_well_placed_keypoints_should_have_high_scores() -> None:
    a, b = cells(torch.full((7, 9), 0.5)), cells(torch.full((7, 9), 0.5))
    b.places[0, 0, 3, 4] += 2.0
    scores = a.scores.requires_grad_()
    kp2d_loss(a, b, SAME, Verdicts(1.0), SIMPLE).score.backward()  # type: ignore[no-untyped-call]
    gradient = scores.grad
    assert gradient is not None
    assert float(gradient[0, 0, 3, 4]) > 0 > float(gradient[0, 0, 3, 3])
    assert float(gradient[0, 0, 0, 0]) == 0.0


def test_a_wrong_descriptor_counts_only_from_afar() -> None:
    twins = torch.eye(63)
    twins[3 * 9 + 5] = twins[3 * 9 + 4]  # two neighbours in the middle look the same
    a = cells(torch.ones(7, 9), axes=twins)
    taught = a.inner()[None]
    near = triplet_loss(a, a, a.xy, taught, Kp2dLossOptions(apart=8.0, sampling="half-pixel"))
    afar = triplet_loss(a, a, a.xy, taught, Kp2dLossOptions(apart=7.9, sampling="half-pixel"))
    assert float(near[0]) == 0.0
    assert float(afar[0]) == pytest.approx(0.2 * 2 / 35, rel=1e-4)
    assert float(near[1]) == float(afar[1]) == pytest.approx(34 / 35)  # the first of two wins


def test_the_inlier_net_sees_the_lowest_scores() -> None:
    scores = torch.arange(63.0).reshape(7, 9) / 63
    chosen = lowest_cells(cells(scores), Kp2dLossOptions(inlier_cells=3))
    assert chosen.tolist() == [[10, 11, 12]]
    chosen = lowest_cells(cells(scores), Kp2dLossOptions(inlier_cells=3, outer_cells=True))
    assert chosen.tolist() == [[0, 1, 2]]
    assert lowest_cells(cells(scores), Kp2dLossOptions()).shape == (1, 5 * 7)


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="location must be at least 0, got -1"):
        Kp2dLossOptions(location=-1)
    with pytest.raises(ConfigError, match="reach must be above 0 and inlier-cells at least 1, got"):
        Kp2dLossOptions(inlier_cells=0)

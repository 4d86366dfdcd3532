import pytest
import torch
from recorded_others import recorded
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.training.msnet_losses import (
    MsNetLossOptions,
    contrastive_loss,
    hardest_places,
    read_descriptors,
)

CASE = "contrastive_hard_negative"
SHAPE = (72, 96)
AS_RECORDED = MsNetLossOptions(sampling="original")
OFFSETS = ["00", "12", "33"]
"""Row and column of the first cell that was searched."""


def tensor(key: str) -> Tensor:
    return torch.tensor(recorded("msnet", CASE)[key])


def first_cell(offset: str) -> tuple[int, int]:
    return int(offset[1]), int(offset[0])


@pytest.mark.parametrize("offset", OFFSETS)
def test_recorded_wrong_places(offset: str) -> None:
    maps, xy = tensor("descs1"), tensor("kps1")
    asked = read_descriptors(tensor("descs0"), tensor("kps0"), SHAPE, "original")
    places, found = hardest_places(asked, maps, xy, first_cell(offset), SHAPE, AS_RECORDED)
    assert found.all()
    assert torch.equal(places, tensor(f"off{offset}_neg_kps_image_px"))
    read = read_descriptors(maps, places, SHAPE, "original")
    torch.testing.assert_close(read, tensor(f"off{offset}_neg_descs"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("offset", OFFSETS)
def test_recorded_loss_and_gradients(offset: str) -> None:
    maps = [tensor(f"descs{side}").requires_grad_() for side in (0, 1)]
    places = (tensor("kps0"), tensor("kps1"))
    all_of_them = torch.ones(2, 25, dtype=torch.bool)
    found = contrastive_loss(*maps, *places, all_of_them, first_cell(offset), SHAPE, AS_RECORDED)
    total = found.right + found.wrong
    total.backward()  # type: ignore[no-untyped-call]
    for value, key in ((found.right, "distance"), (found.wrong, "similarity"), (total, "loss")):
        expected = float(tensor(f"off{offset}_{key}"))
        assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
    for side in (0, 1):
        gradient, expected = maps[side].grad, tensor(f"off{offset}_grad{side}")
        assert gradient is not None
        atol = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(gradient, expected, rtol=0, atol=atol)


def axes(height: int, width: int) -> Tensor:
    """(1, h * w, h, w): another axis for each cell."""
    return torch.eye(height * width).reshape(1, -1, height, width)


def test_a_cell_is_four_pixels() -> None:
    maps = axes(6, 8)
    xy = torch.tensor([[[8.0, 12.0]]])  # cell (2, 3)
    assert float(read_descriptors(maps, xy, (24, 32), "exact")[0, 0, 3 * 8 + 2]) == 1.0
    between = read_descriptors(maps, torch.tensor([[[10.0, 12.0]]]), (24, 32), "exact")[0, 0]
    assert between[3 * 8 + 2] == between[3 * 8 + 3] == pytest.approx(0.5**0.5)


def test_the_hardest_wrong_place_is_not_near_and_on_the_grid() -> None:
    maps = axes(12, 16)
    looks_like = maps[0, :, 1, 2] + 0.5 * maps[0, :, 9, 13] + 0.1 * maps[0, :, 9, 9]
    asked = torch.nn.functional.normalize(looks_like, dim=0)[None, None]
    xy = torch.tensor([[[8.0, 4.0]]])  # the true place, cell (2, 1)

    def hardest(options: MsNetLossOptions, first: tuple[int, int] = (0, 0)) -> list[float]:
        places, found = hardest_places(asked, maps, xy, first, (48, 64), options)
        assert found.all()
        return [float(value) for value in places[0, 0]]

    assert hardest(MsNetLossOptions(interval=1, apart=0.0)) == [8.0, 4.0]
    assert hardest(MsNetLossOptions(interval=1)) == [52.0, 36.0]
    assert hardest(MsNetLossOptions(interval=4), (1, 1)) == [52.0, 36.0]  # 13 = 1 + 3 * 4
    assert hardest(MsNetLossOptions(interval=8), (1, 1)) == [36.0, 36.0]


def test_places_that_are_not_taught_and_views_without_a_wrong_place() -> None:
    maps = axes(6, 8)
    xy = torch.tensor([[[8.0, 12.0], [16.0, 12.0]]])
    elsewhere = torch.tensor([[[8.0, 12.0], [20.0, 4.0]]])
    options = MsNetLossOptions(interval=1, apart=2.0)
    first, both = (
        contrastive_loss(
            maps, maps, xy, elsewhere, torch.tensor([taught]), (0, 0), (24, 32), options
        )
        for taught in ([True, False], [True, True])
    )
    assert float(first.right) == float(first.wrong) == 0.0
    assert float(both.right) == pytest.approx(2**0.5 / 2)
    assert float(both.wrong) == pytest.approx(0.5)  # the second is found where it should not be
    wide = MsNetLossOptions(apart=100.0)
    alone = contrastive_loss(
        maps, maps, xy, xy, torch.ones(1, 2, dtype=torch.bool), (0, 0), (24, 32), wide
    )
    assert float(alone.wrong) == 0.0
    nothing = contrastive_loss(
        maps, maps, xy, xy, torch.zeros(1, 2, dtype=torch.bool), (0, 0), (24, 32), options
    )
    assert float(nothing.right) == float(nothing.wrong) == 0.0


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="margin must be above 0 and apart at least 0, got 0"):
        MsNetLossOptions(margin=0.0)
    with pytest.raises(ConfigError, match="points and interval must be at least 1, got 0 and 4"):
        MsNetLossOptions(points=0)

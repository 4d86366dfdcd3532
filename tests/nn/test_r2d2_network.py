import numpy as np
import pytest
import torch
from recorded_others import recorded, rgb
from shared_data import shared
from torch import Tensor

from silk_sfm.nn.colours import normalise_colours
from silk_sfm.nn.r2d2 import REACH, Level, Pyramid, R2d2Network, load_r2d2, local_maxima


def batch() -> Tensor:
    return normalise_colours(torch.from_numpy(rgb("astronaut_97x120")).permute(2, 0, 1)[None])


@torch.inference_mode()
def test_recorded_maps() -> None:
    expected = recorded("r2d2", "forward_97x120")
    np.testing.assert_allclose(batch()[0, :, 0], expected["input_norm_row0"], atol=1e-6)
    network = load_r2d2(shared("reference_others", "weights", "r2d2_WASF_N16.pt"))
    repeatability, reliability, descriptors = network(batch())
    np.testing.assert_allclose(repeatability[0, 0], expected["repeatability"], atol=2e-5)
    np.testing.assert_allclose(reliability[0, 0], expected["reliability"], atol=2e-5)
    np.testing.assert_allclose(descriptors[0, :, ::6, ::6], expected["desc_stride6"], atol=1e-5)
    for least_reliable, least_repeatable in ((0.7, 0.7), (0.5, 0.4)):
        found = local_maxima(repeatability[0, 0])
        found &= repeatability[0, 0] >= least_repeatable
        found &= reliability[0, 0] >= least_reliable
        name = f"nms_yx_rel{least_reliable}_rep{least_repeatable}".replace(".", "p")
        np.testing.assert_array_equal(found.nonzero().T, expected[name])


def test_reach_is_what_an_output_sees() -> None:
    torch.manual_seed(0)
    network = R2d2Network().eval()
    image = torch.rand(1, 3, 61, 71, requires_grad=True)
    for maps in network(image):
        (gradient,) = torch.autograd.grad(maps[0, :, 30, 35].sum(), image, retain_graph=True)
        rows, columns = gradient[0].abs().sum(0).nonzero().T
        assert rows.min() == 30 - REACH and rows.max() == 30 + REACH
        assert columns.min() == 35 - REACH and columns.max() == 35 + REACH


def test_equal_neighbours_are_both_maxima() -> None:
    scores = torch.zeros(5, 6)
    scores[2, 2:4] = 1.0
    assert (local_maxima(scores) & (scores > 0)).nonzero().tolist() == [[2, 2], [2, 3]]


@pytest.mark.parametrize(
    ("pyramid", "size", "used"),
    [
        (Pyramid(), (320, 240), [(320, 240), (269, 202)]),
        (Pyramid(), (256, 100), [(256, 100)]),
        (Pyramid(), (255, 100), []),
        (Pyramid(0.5, 0.9, 0, 9999), (100, 80), [(84, 67), (71, 57), (59, 48), (50, 40)]),
        (Pyramid(max_size=1024), (2048, 1024), [(1024, 512), (861, 431), (724, 362), (609, 304)]),
    ],
)
def test_known_pyramids(
    pyramid: Pyramid, size: tuple[int, int], used: list[tuple[int, int]]
) -> None:
    found = [level.size for level in pyramid.levels(size) if level.used]
    assert found[: len(used)] == used and (len(found) == len(used) or size[0] > 1024)


def test_unused_levels_are_steps_on_the_way() -> None:
    levels = Pyramid(max_size=300).levels((400, 200))
    assert levels[0] == Level((400, 200), 1.0, False)
    assert [level.used for level in levels] == [False, False, True]
    assert levels[2].scale == pytest.approx(2**-0.5)


def test_no_limits_end_at_one_pixel() -> None:
    levels = Pyramid(min_size=0).levels((64, 2))
    assert levels[-1].size == (1, 1) and min(level.size[1] for level in levels) == 1
    assert len(levels) == 25

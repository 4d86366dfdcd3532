import pytest
import torch
from torch import Tensor, nn

from silk_sfm.nn.kp2d import VARIANTS, KeypointNet
from silk_sfm.nn.msnet import FOOTPRINT as MSNET_FOOTPRINT
from silk_sfm.nn.msnet import MsNetV0
from silk_sfm.nn.superpoint import FOOTPRINT as SUPERPOINT_FOOTPRINT
from silk_sfm.nn.superpoint import SuperPointNetwork
from silk_sfm.nn.windowed import Footprint, cut, run_windowed


class Downscale(nn.Module):
    """Two 3x3 convolutions around a pooling: reach 3, one map at stride 1, one at stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(2, 3, 3, padding=1)
        self.coarse = nn.Conv2d(3, 4, 3, padding=1)
        self.largest = 0

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        self.largest = max(self.largest, image.shape[2] * image.shape[3])
        fine = self.fine(image)
        return fine, self.coarse(nn.functional.max_pool2d(fine, 2))


SMALL = Footprint(strides=(1, 2), reach=3)


def test_margins_are_whole_cells() -> None:
    assert (SMALL.stride, SMALL.margin) == (2, 4)
    assert Footprint((8, 4), 54).margin == 56


@pytest.mark.parametrize("size", [(40, 60), (41, 61), (7, 90), (3, 300)])
@torch.inference_mode()
def test_windows_change_nothing(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network, image = Downscale(), torch.rand(1, 2, *size)
    whole = network(image)
    network.largest = 0
    windowed = run_windowed(network, image, SMALL, 400)
    assert network.largest <= 450 < size[0] * size[1]
    for a, b in zip(whole, windowed, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("length", "side"), [(64, 16), (65, 16), (3, 16), (8, 1), (100, 33)])
def test_spans_cover_a_length_once(length: int, side: int) -> None:
    spans = cut(length, side, 8, 16)
    assert [span.kept for span in spans] == [0, *(span.end for span in spans[:-1])]
    assert spans[-1].end == length and [span.is_last for span in spans].count(True) == 1
    for span in spans:
        assert span.kept % 8 == 0 and span.first == max(0, span.kept - 16)
        assert span.last == min(length, span.end + 16)


NETWORKS = {
    "superpoint": (SuperPointNetwork(True), SUPERPOINT_FOOTPRINT, 1, (17, 157)),
    "kp2d v4": (KeypointNet(VARIANTS["v4"]), VARIANTS["v4"].footprint, 3, (16, 160)),
    "kp2d v0": (KeypointNet(VARIANTS["v0"]), VARIANTS["v0"].footprint, 3, (16, 160)),
    "msnet": (MsNetV0(), MSNET_FOOTPRINT, 3, (9, 122)),
}


@pytest.mark.parametrize("name", list(NETWORKS))
@torch.inference_mode()
def test_windows_change_no_network(name: str) -> None:
    """The footprints are right: with less reach the seams would show."""
    network, footprint, channels, size = NETWORKS[name]
    image = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    whole = network.eval()(image)
    windowed = run_windowed(network, image, footprint, 1_024)
    for a, b in zip(whole, windowed, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_reach_is_what_a_cell_sees(name: str) -> None:
    """Gradients tell which pixels a cell depends on; random weights hide none of them."""
    network, footprint, channels, _ = NETWORKS[name]
    image = torch.rand(1, channels, 16, 176, requires_grad=True)
    seen = 0
    for maps, stride in zip(network.eval()(image), footprint.strides, strict=True):
        for cell in (80 // stride, 80 // stride + 1):
            own = cell * stride, (cell + 1) * stride - 1  # first and last pixel
            (gradient,) = torch.autograd.grad(maps[0, :, 1, cell].sum(), image, retain_graph=True)
            columns = gradient[0].abs().sum(dim=(0, 1)).nonzero()[:, 0]
            seen = max(seen, own[0] - int(columns.min()), int(columns.max()) - own[1])
    assert footprint.reach - 4 <= seen <= footprint.reach

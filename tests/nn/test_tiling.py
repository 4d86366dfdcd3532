import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.tiling import TiledSilk, split

WHOLE = 1_000_000


def small(padding: int) -> SilkNetwork:
    torch.manual_seed(0)
    network = SilkNetwork(Architecture((6, 8), 5, 7, 9), padding).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.bias, -1, 1)  # so that padding with 0 is seen everywhere
    return network


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), side=st.integers(1, 70))
def test_windows_cover_a_map_once(height: int, width: int, side: int) -> None:
    covered = torch.zeros(height, width, dtype=torch.int64)
    for window in split(height, width, side):
        covered[window.top : window.bottom, window.left : window.right] += 1
        assert 0 < window.bottom - window.top <= side
        assert 0 < window.right - window.left <= side
    assert bool((covered == 1).all())


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("tile_pixels", [20 * 20, 11 * 11, 1])
@torch.inference_mode()
def test_tiles_give_the_same_result(padding: int, tile_pixels: int) -> None:
    network, image = small(padding), torch.rand(37, 58)
    logits, raw = network(image[None, None])
    tiled = TiledSilk(network, image, max(tile_pixels, 12 * 12))
    assert len(tiled.windows) > 4
    torch.testing.assert_close(tiled.logits(), logits[0, 0], atol=1e-5, rtol=0)
    cells = torch.cartesian_prod(torch.arange(tiled.height), torch.arange(tiled.width))[::7]
    found = tiled.raw_descriptors_at(*cells.T)
    torch.testing.assert_close(found, raw[0].flatten(1).T[::7], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_only_tiles_with_cells_are_described() -> None:
    network, image = small(0), torch.rand(60, 60)
    tiled = TiledSilk(network, image, 30 * 30)
    calls: list[Tensor] = []
    network.stages.register_forward_hook(lambda *arguments: calls.append(arguments[2]))
    tiled.raw_descriptors_at(torch.tensor([0, 1, 49]), torch.tensor([0, 0, 49]))
    assert len(tiled.windows) == 9 and len(calls) == 2
    assert all(features.shape[2:].numel() <= 30 * 30 for features in calls)
    none = torch.zeros(0, dtype=torch.int64)
    assert tiled.raw_descriptors_at(none, none).shape == (0, 9)


@torch.inference_mode()
def test_features_of_a_single_tile_are_computed_once() -> None:
    network, image = small(0), torch.rand(60, 60)
    calls: list[int] = []
    network.stages.register_forward_hook(lambda *_: calls.append(1))
    tiled = TiledSilk(network, image, WHOLE)
    tiled.logits()
    tiled.raw_descriptors_at(torch.tensor([3]), torch.tensor([4]))
    assert len(tiled.windows) == len(calls) == 1

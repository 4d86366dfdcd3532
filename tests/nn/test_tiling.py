import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.detection import DetectionOptions, detect_logits
from silk_sfm.nn.inference import Inference, inference_for
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


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    margin=st.integers(0, 9),
    most_pixels=st.integers(1, 8000),
)
def test_windows_cover_a_map_once(height: int, width: int, margin: int, most_pixels: int) -> None:
    covered = torch.zeros(height, width, dtype=torch.int64)
    windows = split(height, width, margin, most_pixels)
    for window in windows:
        covered[window.top : window.bottom, window.left : window.right] += 1
        seen = (window.bottom - window.top + 2 * margin) * (window.right - window.left + 2 * margin)
        assert window.n_cells > 0 and (seen <= most_pixels or window.n_cells == 1)
    assert bool((covered == 1).all())
    sides = [window.bottom - window.top for window in windows]
    assert max(sides) - min(sides) <= 1, "of nearly equal size"


@pytest.mark.parametrize("size", [(1006, 1518), (100, 4000), (4000, 100), (251, 462)])
def test_windows_overlap_little(size: tuple[int, int]) -> None:
    windows = split(*size, margin=9, most_pixels=43_690)
    seen = sum(
        (window.bottom - window.top + 18) * (window.right - window.left + 18) for window in windows
    )
    assert seen < 1.25 * size[0] * size[1]


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("tile_pixels", [40 * 40, 26 * 26])
@torch.inference_mode()
def test_tiles_give_the_same_result(padding: int, tile_pixels: int) -> None:
    network, image = small(padding), torch.rand(37, 58)
    logits, raw = network(image[None, None])
    tiled = TiledSilk(inference_for(network), image, tile_pixels)
    assert len(tiled.windows) > 4
    torch.testing.assert_close(tiled.logits(), logits[0, 0], atol=1e-5, rtol=0)
    cells = torch.cartesian_prod(torch.arange(tiled.height), torch.arange(tiled.width))[::7]
    found = tiled.raw_descriptors_at(*cells.T)
    torch.testing.assert_close(found, raw[0].flatten(1).T[::7], atol=1e-5, rtol=0)


def count_features(monkeypatch: pytest.MonkeyPatch, inference: Inference) -> list[int]:
    """Grows by the number of pixels seen, each time that features are computed."""
    seen: list[int] = []
    compute = inference.features

    def counted(pixels: Tensor) -> object:
        seen.append(pixels.numel())
        return compute(pixels)

    monkeypatch.setattr(inference, "features", counted)
    return seen


@torch.inference_mode()
def test_only_tiles_with_cells_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    inference = inference_for(small(0))
    seen = count_features(monkeypatch, inference)
    tiled = TiledSilk(inference, torch.rand(60, 60), 60 * 30)
    tiled.raw_descriptors_at(torch.tensor([0, 1, 49]), torch.tensor([0, 0, 49]))
    assert len(tiled.windows) == 8 and len(seen) == 2
    assert max(seen) <= 30 * 30
    none = torch.zeros(0, dtype=torch.int64)
    assert tiled.raw_descriptors_at(none, none).shape == (0, 9)


@torch.inference_mode()
def test_features_of_a_single_tile_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inference = inference_for(small(0))
    seen = count_features(monkeypatch, inference)
    tiled = TiledSilk(inference, torch.rand(60, 60), WHOLE)
    tiled.logits()
    tiled.raw_descriptors_at(torch.tensor([3]), torch.tensor([4]))
    assert len(tiled.windows) == len(seen) == 1


@pytest.mark.parametrize("top_k", [5, 60])
@torch.inference_mode()
def test_likely_cells_are_described_on_the_way(top_k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inference = inference_for(small(0))
    image = torch.rand(90, 80, generator=torch.Generator().manual_seed(1))
    options = DetectionOptions(top_k=top_k, nms_radius=3)
    tiled = TiledSilk(inference, image, 60 * 40, options)
    logits = tiled.logits()
    cells = detect_logits(logits, options)
    seen = count_features(monkeypatch, inference)
    rows, columns = cells // tiled.width, cells % tiled.width
    raw = tiled.raw_descriptors_at(rows, columns)
    assert len(tiled.windows) == 10
    assert len(seen) <= top_k // 10 and all(pixels == 11 * 11 for pixels in seen)
    whole = TiledSilk(inference, image, WHOLE)
    torch.testing.assert_close(raw, whole.raw_descriptors_at(rows, columns), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_cells_that_nobody_expected_are_described_too() -> None:
    image = torch.rand(90, 80, generator=torch.Generator().manual_seed(2))
    tiled = TiledSilk(inference_for(small(0)), image, 60 * 40, DetectionOptions(top_k=3))
    tiled.logits()
    rows, columns = torch.arange(60), torch.arange(60)
    whole = TiledSilk(inference_for(small(0)), image, WHOLE)
    expected = whole.raw_descriptors_at(rows, columns)
    torch.testing.assert_close(tiled.raw_descriptors_at(rows, columns), expected, atol=1e-5, rtol=0)

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from silk_sfm.nn.architecture import Architecture
from silk_sfm.nn.detection import DetectionOptions, detect_logits
from silk_sfm.nn.folding import fold
from silk_sfm.nn.inference import Inference, inference_for
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.tiling import TiledSilk, split
from silk_sfm.nn.winograd import WinogradInference
from silk_sfm.nn.workers import torch_threads

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
    at_once=st.integers(1, 8),
)
def test_windows_cover_a_map_once(
    height: int, width: int, margin: int, most_pixels: int, at_once: int
) -> None:
    covered = torch.zeros(height, width, dtype=torch.int64)
    windows = split(height, width, margin, most_pixels, at_once)
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


@pytest.mark.parametrize("size", [(1006, 1518), (462, 622), (251, 462), (900, 900)])
@pytest.mark.parametrize("at_once", [2, 3, 8])
def test_nobody_waits_for_the_last_window(size: tuple[int, int], at_once: int) -> None:
    alone = split(*size, 9, 43_690)
    windows = split(*size, 9, 43_690, at_once)
    rounds = -(-len(windows) // at_once)
    assert rounds * max(window.n_cells for window in windows) < 1.25 * size[0] * size[1] / at_once
    assert len(windows) < len(alone) + at_once


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("tile_pixels", [40 * 40, 26 * 26])
@pytest.mark.parametrize("kept_pixels", [0, WHOLE])
@torch.inference_mode()
def test_tiles_give_the_same_result(padding: int, tile_pixels: int, kept_pixels: int) -> None:
    network, image = small(padding), torch.rand(37, 58)
    logits, raw = network(image[None, None])
    tiled = TiledSilk(keeping(network, kept_pixels), image, tile_pixels)
    assert len(tiled.windows) > 4
    torch.testing.assert_close(tiled.logits(), logits[0, 0], atol=1e-5, rtol=0)
    cells = torch.cartesian_prod(torch.arange(tiled.height), torch.arange(tiled.width))[::7]
    found = tiled.raw_descriptors_at(*cells.T)
    torch.testing.assert_close(found, raw[0].flatten(1).T[::7], atol=1e-5, rtol=0)


def keeping(network: SilkNetwork, kept_pixels: int) -> Inference:
    """Keeps the features of images of at most so many pixels."""
    inference = inference_for(network)
    inference.kept_pixels = kept_pixels
    return inference


def count_features(monkeypatch: pytest.MonkeyPatch, inference: Inference) -> list[int]:
    """Grows by the number of pixels seen, each time that features are computed."""
    seen: list[int] = []
    compute = inference.features

    def counted(pixels: Tensor) -> object:
        seen.append(pixels.numel())
        return compute(pixels)

    monkeypatch.setattr(inference, "features", counted)
    return seen


def count_alone(monkeypatch: pytest.MonkeyPatch, inference: Inference) -> list[int]:
    """Grows by the number of cells described alone."""
    counts: list[int] = []
    compute = inference.raw_descriptors_of

    def counted(patches: Tensor) -> Tensor:
        counts.append(len(patches))
        return compute(patches)

    monkeypatch.setattr(inference, "raw_descriptors_of", counted)
    return counts


@torch.inference_mode()
def test_only_tiles_with_cells_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    inference = inference_for(small(0))
    seen = count_features(monkeypatch, inference)
    tiled = TiledSilk(inference, torch.rand(60, 60), 60 * 30)
    rows, columns = torch.cartesian_prod(torch.arange(20), torch.arange(11)).T
    tiled.raw_descriptors_at(rows, columns)
    assert len(tiled.windows) == 8 and len(seen) == 1
    assert max(seen) <= 30 * 30
    none = torch.zeros(0, dtype=torch.int64)
    assert tiled.raw_descriptors_at(none, none).shape == (0, 9)


@torch.inference_mode()
def test_single_cells_are_described_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network, image = small(1), torch.rand(60, 60)
    inference = inference_for(network)
    seen = count_features(monkeypatch, inference)
    tiled = TiledSilk(inference, image, 60 * 30)
    rows, columns = torch.tensor([0, 20, 21, 59]), torch.tensor([30, 30, 30, 59])
    raw = tiled.raw_descriptors_at(rows, columns)
    assert sorted(seen) == [6 * 6, 6 * 11], "only those that see padding, with the rest"
    expected = network(image[None, None])[1][0, :, rows, columns].T
    torch.testing.assert_close(raw, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("tile_pixels", "n_tiles"), [(WHOLE, 1), (60 * 30, 8)])
@torch.inference_mode()
def test_features_of_a_small_image_are_computed_once(
    tile_pixels: int, n_tiles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = inference_for(small(0))
    seen = count_features(monkeypatch, inference)
    image = torch.rand(60, 60)
    tiled = TiledSilk(inference, image, tile_pixels, DetectionOptions(top_k=3))
    tiled.logits()
    tiled.raw_descriptors_at(torch.tensor([3, 40]), torch.tensor([4, 1]))
    assert len(tiled.windows) == len(seen) == n_tiles
    assert image.numel() <= inference.kept_pixels


@pytest.mark.parametrize(("tile_pixels", "kept_pixels"), [(1800, 3600), (3600, 0)])
@pytest.mark.parametrize(("width", "is_kept"), [(60, True), (61, False)])
@torch.inference_mode()
def test_features_are_kept_up_to_a_number_of_pixels(
    tile_pixels: int,
    kept_pixels: int,
    width: int,
    is_kept: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inference = keeping(small(0), kept_pixels)
    alive: list[weakref.ref[Tensor]] = []
    compute = inference.features

    def followed(pixels: Tensor) -> Tensor:
        features: Tensor = compute(pixels)
        alive.append(weakref.ref(features))
        return features

    monkeypatch.setattr(inference, "features", followed)
    options = DetectionOptions(top_k=3)
    tiled = TiledSilk(inference, torch.rand(60, width), tile_pixels, options)
    tiled.raw_descriptors_at(*torch.cartesian_prod(torch.arange(50), torch.arange(50)).T)
    assert alive and all(each() is None for each in alive), "nobody will ask for these again"
    alive.clear()
    tiled.logits()
    assert alive and all((each() is not None) == is_kept for each in alive)


@pytest.mark.parametrize("top_k", [5, 60])
@torch.inference_mode()
def test_likely_cells_are_described_on_the_way(top_k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inference = keeping(small(0), 0)
    image = torch.rand(90, 80, generator=torch.Generator().manual_seed(1))
    options = DetectionOptions(top_k=top_k, nms_radius=3)
    tiled = TiledSilk(inference, image, 60 * 40, options)
    logits = tiled.logits()
    cells = detect_logits(logits, options)
    seen = count_features(monkeypatch, inference)
    alone = count_alone(monkeypatch, inference)
    rows, columns = cells // tiled.width, cells % tiled.width
    raw = tiled.raw_descriptors_at(rows, columns)
    assert len(tiled.windows) == 10
    assert seen == [], "what was not likely is described alone"
    assert sum(alone) <= top_k // 10
    whole = TiledSilk(inference, image, WHOLE)
    torch.testing.assert_close(raw, whole.raw_descriptors_at(rows, columns), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_cells_that_nobody_expected_are_described_too() -> None:
    image = torch.rand(90, 80, generator=torch.Generator().manual_seed(2))
    tiled = TiledSilk(keeping(small(0), 0), image, 60 * 40, DetectionOptions(top_k=3))
    tiled.logits()
    rows, columns = torch.arange(60), torch.arange(60)
    whole = TiledSilk(inference_for(small(0)), image, WHOLE)
    expected = whole.raw_descriptors_at(rows, columns)
    torch.testing.assert_close(tiled.raw_descriptors_at(rows, columns), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kept_pixels", [0, WHOLE])
@torch.inference_mode()
def test_the_number_of_threads_changes_nothing(kept_pixels: int) -> None:
    image = torch.rand(90, 80, generator=torch.Generator().manual_seed(3))
    cells = torch.arange(40, 60)
    found = []
    for n_threads in (1, 2, 3, 11):
        with torch_threads(n_threads):
            inference = keeping(small(0), kept_pixels)
            tiled = TiledSilk(inference, image, 60 * 40, DetectionOptions(top_k=60))
            found.append((tiled.logits(), tiled.raw_descriptors_at(cells, cells)))
    for logits, raw in found[1:]:
        torch.testing.assert_close(logits, found[0][0], atol=1e-5, rtol=0)
        torch.testing.assert_close(raw, found[0][1], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_few_cells_are_described_however_many_tiles_are_seen_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = torch.rand(90, 80, generator=torch.Generator().manual_seed(4))
    with torch_threads(8):
        inference = keeping(small(0), 0)
        described: list[int] = []
        compute = inference.raw_descriptors_at

        def counted(features: object, rows: Tensor, columns: Tensor) -> Tensor:
            described.append(len(rows))
            return compute(features, rows, columns)

        monkeypatch.setattr(inference, "raw_descriptors_at", counted)
        tiled = TiledSilk(inference, image, 60 * 40, DetectionOptions(top_k=30))
        tiled.logits()
    assert 30 <= sum(described[:8]) <= 33, "the best of all tiles of the first round"
    assert sum(described) < 60


@pytest.mark.parametrize("n_threads", [2, 16])
@torch.inference_mode()
def test_kernels_with_workers_of_their_own_are_seen_side_by_side(n_threads: int) -> None:
    network, image = small(0), torch.rand(90, 80)
    inference = WinogradInference(network.architecture, network.offset, fold(network))
    logits, raw = network(image[None, None])
    with torch_threads(n_threads):
        tiled = TiledSilk(inference, image, 60 * 40)
        assert len(tiled.windows) > 4
        torch.testing.assert_close(tiled.logits(), logits[0, 0], atol=1e-5, rtol=0)
        assert torch.get_num_threads() == n_threads
        cells = torch.arange(60)
        found = tiled.raw_descriptors_at(cells, cells)
    torch.testing.assert_close(found, raw[0, :, cells, cells].T, atol=1e-5, rtol=0)

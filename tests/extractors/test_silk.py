import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_data import shared

from silk_sfm.errors import ConfigError, ImageError, WeightsError
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder
from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.published import find_weights
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import WeightsCard, save_silk, weights_digest
from silk_sfm.plugins import Extractor, load


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small untrained network: reach 3, so quick."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "micro.safetensors"
    save_silk(SilkNetwork(ARCHITECTURES["pvgg-micro"]), path, WeightsCard(0, "none", "none"))
    return str(path)


@pytest.fixture(scope="module")
def silk() -> Silk:
    return Silk(SilkOptions(top_k=60))


def squares(height: int = 90, width: int = 110) -> np.ndarray:
    """Smoothly shaded, with bright and dark squares: corners at known places."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = 0.4 + 0.1 * np.sin(x / 17) * np.cos(y / 13)
    image[30:50, 40:60] = 0.9
    image[60:70, 20:80] = 0.1
    return np.asarray(image, np.float32)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).random((height, width), dtype=np.float32)


# ---------- known answers ----------


def test_recorded_positions_and_descriptors() -> None:
    path = shared("reference", "checkpoints", "pvgg-4.ckpt")
    recorded = np.load(shared("reference", "network_pvgg-4.npz"))
    image = np.load(shared("reference", "network_inputs.npz"))["A"][0, 0]
    for padding in (0, 1):
        options = SilkOptions(
            nms_radius=0, top_k=51, refine=False, weights=str(path), padding=padding
        )
        found = Silk(options)(image)
        yx_score = recorded[f"pad{padding}/A/sparse_positions_image_0"]
        order = np.argsort(-yx_score[:, 2], kind="stable")
        np.testing.assert_array_equal(found.keypoints, yx_score[order, 1::-1] - 0.5)
        np.testing.assert_allclose(found.scores, yx_score[order, 2], atol=2e-5)
        descriptors = recorded[f"pad{padding}/A/sparse_descriptors_0"][order] / 1.41
        np.testing.assert_allclose(found.descriptors, descriptors, atol=1e-5)


def test_a_map_cell_is_the_pixel_at_the_centre_of_what_it_sees(micro: str) -> None:
    image = noise(7, 7)  # exactly one receptive field: one cell, whose centre is pixel (3, 3)
    found = Silk(SilkOptions(weights=micro))(image)
    assert found.keypoints.tolist() == [[3.0, 3.0]]


def test_finds_the_corners_of_squares(silk: Silk) -> None:
    found = silk(squares())
    corners = np.array([(39.5, 29.5), (59.5, 29.5), (39.5, 49.5), (59.5, 49.5), (19.5, 59.5)])
    distances = np.linalg.norm(corners[:, None] - found.keypoints, axis=2).min(axis=1)
    assert distances.max() < 1.5


def test_output_keeps_the_contract(silk: Silk) -> None:
    found = silk(squares())
    assert isinstance(silk, Extractor)
    assert len(found) == 60 and found.image_size == (110, 90) and found.uncertainty == 1
    assert found.descriptors.shape == (60, silk.descriptor_size) == (60, 128)
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)
    assert (np.diff(found.scores) <= 0).all() and 0 < found.scores.min() < found.scores.max() < 1
    low, high = found.keypoints.min(axis=0), found.keypoints.max(axis=0)
    assert (low >= 8.5).all() and (high <= [110 - 9.5, 90 - 9.5]).all()


def test_is_found_as_a_plugin() -> None:
    assert load("extractors", "silk") is Silk
    assert Silk.channels == "grey"
    assert SilkOptions().weights == "silk"


def test_digest_names_the_weights(silk: Silk, micro: str) -> None:
    assert silk.weights_digest == weights_digest("silk")
    assert re.fullmatch("[0-9a-f]{64}", silk.weights_digest)
    assert Silk(SilkOptions(weights=micro)).weights_digest == weights_digest(micro)


# ---------- invariants ----------


def test_same_image_same_features(silk: Silk) -> None:
    first, second = silk(squares()), silk(squares())
    same(first, second, atol=0)


def test_a_shifted_image_gives_shifted_keypoints(micro: str) -> None:
    options = SilkOptions(weights=micro, top_k=20, spread=2, spread_cell=64)
    image = noise(64, 80)
    inner = np.ascontiguousarray(image[5:, 9:])
    found = Silk(SilkOptions(weights=micro, top_k=0, threshold=0.0))(image)
    shifted = Silk(SilkOptions(weights=micro, top_k=0, threshold=0.0))(inner)
    places = {tuple(np.round(xy, 2)) for xy in found.keypoints - np.array([9, 5], np.float32)}
    middle = shifted.keypoints[((shifted.keypoints > 20) & (shifted.keypoints < 35)).all(axis=1)]
    assert len(middle) > 3 and {tuple(np.round(xy, 2)) for xy in middle} <= places
    assert 2 <= len(Silk(options)(image)) <= 4


@pytest.mark.parametrize("padding", [0, 1])
def test_tiles_change_nothing(micro: str, padding: int) -> None:
    image = noise(130, 171)
    image[40:60, 40:90] = 0.5
    whole = Silk(SilkOptions(weights=micro, padding=padding, top_k=300))  # type: ignore[arg-type]
    tiled = Silk(SilkOptions(weights=micro, padding=padding, top_k=300, tile_pixels=4096))  # type: ignore[arg-type]
    same(tiled(image), whole(image), atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1])
def test_tiles_change_nothing_for_the_default_weights(padding: int) -> None:
    image = squares(130, 111)
    options = {"padding": padding, "top_k": 100}
    whole = Silk(SilkOptions(**options))  # type: ignore[arg-type]
    tiled = Silk(SilkOptions(**options, tile_pixels=4096))  # type: ignore[arg-type]
    same(tiled(image), whole(image), atol=1e-5)


def same(a: LocalFeatures, b: LocalFeatures, atol: float) -> None:
    """The same keypoints in any order of almost equal scores."""
    order_a, order_b = (np.lexsort(np.round(each.keypoints, 2).T) for each in (a, b))
    a, b = a.select(order_a), b.select(order_b)
    np.testing.assert_allclose(a.keypoints, b.keypoints, atol=atol * 1000)  # refined by noise
    np.testing.assert_allclose(a.scores, b.scores, atol=atol)
    np.testing.assert_allclose(a.descriptors, b.descriptors, atol=atol)


# ---------- nothing to see ----------


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_one_colour_has_no_keypoints(micro: str, padding: int, value: float) -> None:
    options = SilkOptions(weights=micro, padding=padding)  # type: ignore[arg-type]
    found = Silk(options)(np.full((40, 50), value, np.float32))
    assert len(found) == 0 and found.descriptors.shape == (0, 32)
    assert found.image_size == (50, 40)


@pytest.mark.parametrize("padding", [0, 1])
def test_flat_regions_have_no_keypoints(micro: str, padding: int) -> None:
    image = noise(60, 60)
    image[:, 30:] = 0.7
    found = Silk(SilkOptions(weights=micro, padding=padding, nms_radius=0))(image)  # type: ignore[arg-type]
    assert found.keypoints[:, 0].max() < 33  # 29 + reach 3, and half a pixel of refinement
    assert len(found) > 1000


def test_too_small_images() -> None:
    silk = Silk(SilkOptions())
    for shape in ((10, 10), (18, 200), (1, 1)):
        with pytest.raises(ImageError) as error:
            silk(np.zeros(shape, np.float32))
        height, width = shape
        assert str(error.value) == (
            f"{width} x {height} px is smaller than the 19 x 19 px that SiLK sees at once; "
            "leave the image out or enlarge it."
        )
    assert len(silk(noise(19, 19))) == 1


def test_wrong_images(silk: Silk) -> None:
    cases: list[tuple[np.ndarray, str]] = [
        (np.zeros((40, 40, 3), np.float32), r"an \(H, W\) float32 grey image, got \(40, 40, 3\)"),
        (np.zeros((0, 9), np.float32), r"float32 grey image, got \(0, 9\) float32"),
        (np.zeros((40, 40), np.uint8), r"float32 grey image, got \(40, 40\) uint8"),
        (
            np.full((40, 40), 255, np.float32),
            r"SiLK needs values in 0\.\.1, got 255\.0 to 255\.0\.",
        ),
        (np.full((40, 40), np.nan, np.float32), r"SiLK needs values in 0\.\.1, got nan to nan\."),
    ]
    for image, text in cases:
        with pytest.raises(ImageError, match=text):
            silk(image)


def test_does_not_change_or_need_to_write_its_input(micro: str) -> None:
    image = noise(40, 40)
    before = image.copy()
    image.setflags(write=False)
    Silk(SilkOptions(weights=micro))(image)
    np.testing.assert_array_equal(image, before)


# ---------- options ----------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"padding": 2}, "padding must be 0 or 1, got 2."),
        ({"tile_pixels": 100}, "tile_pixels must be at least 4096, got 100."),
        ({"nms_radius": -1}, "nms_radius must be at least 0, got -1."),
    ],
)
def test_options_are_checked(options: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        SilkOptions(**options)  # type: ignore[arg-type]


def test_missing_weights() -> None:
    with pytest.raises(WeightsError, match=r"^No weights none\.ckpt: no such file\."):
        Silk(SilkOptions(weights="none.ckpt"))


def test_every_option_has_its_line_of_help() -> None:
    program = "import tyro; from silk_sfm.extractors.silk import SilkOptions; tyro.cli(SilkOptions)"
    shown = subprocess.run(
        [sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True
    ).stdout
    text = " ".join(shown.replace("│", " ").split())
    for field in fields(SilkOptions):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "Keep only the best keypoint of each square" in text
    assert "does not change results" in text


def test_weights_are_not_changed_by_use(tmp_path: Path) -> None:
    path = tmp_path / "copy.safetensors"
    shutil.copy(find_weights("silk"), path)
    silk = Silk(SilkOptions(weights=str(path)))
    silk(squares())
    assert weights_digest(path) == weights_digest("silk")


# ---------- nothing changes on real photos ----------


class PlainInference:
    """The network as it is, in place of the fast kernels."""

    def __init__(self, network: SilkNetwork) -> None:
        self.network = network
        self.architecture, self.offset = network.architecture, network.offset
        self.tile_pixels, self.kept_pixels = 81_920, 0

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network.backbone(pixels[None, None])

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network.detector(features)
        return logits[0, 0]

    def raw_descriptors_at(
        self, features: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
    ) -> torch.Tensor:
        raw: torch.Tensor = self.network.descriptor(features)
        return raw[0, :, rows, columns].T

    def raw_descriptors_of(self, patches: torch.Tensor) -> torch.Tensor:
        raw: torch.Tensor = self.network(patches[:, None])[1]
        return raw[:, :, 0, 0]


@pytest.mark.slow
def test_fast_kernels_change_no_match_of_real_photos() -> None:
    folder = ImageFolder.open(shared("data", "tiny", "images"))
    fast = Silk(SilkOptions(top_k=2000))
    plain = Silk(SilkOptions(top_k=2000))
    plain.inference = PlainInference(plain.network)
    matcher = DoubleSoftmax(DoubleSoftmaxOptions())
    found: list[list[LocalFeatures]] = []
    for silk in (fast, plain):
        photos = (folder.read(name, "grey").pixels for name in folder.names[:2])
        found.append([silk(pixels) for pixels in photos])
    for ours, expected in zip(*found, strict=True):
        assert common_keypoints(ours, expected) >= 0.999 * len(expected)
    matches, expected_matches = (matcher(*pair) for pair in found)
    assert abs(len(matches) - len(expected_matches)) <= 0.002 * len(expected_matches)
    np.testing.assert_allclose(
        np.sort(matches.scores)[:500], np.sort(expected_matches.scores)[:500], atol=2e-3
    )


def common_keypoints(a: LocalFeatures, b: LocalFeatures) -> int:
    """How many keypoints of b lie within 0.01 px of one of a."""
    distances = np.abs(a.keypoints[:, None] - b.keypoints).max(axis=2)
    return int((distances.min(axis=0) < 0.01).sum())

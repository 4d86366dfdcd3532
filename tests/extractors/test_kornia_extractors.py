"""Extractors through kornia: frames, weights, errors; the authors' weights where cached."""

from __future__ import annotations

import hashlib
import subprocess
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import kornia.feature
import numpy as np
import pytest
import torch
from kornia.feature.xfeat import XFeat as XFeatNetwork
from shared_data import shared

from silk_sfm import plugins
from silk_sfm.errors import ConfigError, ImageError, WeightsError
from silk_sfm.extractors.aliked import Aliked, AlikedOptions
from silk_sfm.extractors.dedode import Dedode, DedodeOptions
from silk_sfm.extractors.disk import Disk, DiskOptions
from silk_sfm.extractors.keynet import Keynet, KeynetOptions
from silk_sfm.extractors.xfeat import XFeat, XFeatOptions
from silk_sfm.nn import library_weights, published
from silk_sfm.nn.library_weights import joint_digest, load_library
from silk_sfm.nn.published import cache_folder

CATALOGUES = (
    library_weights.ALIKED,
    library_weights.DISK,
    library_weights.XFEAT,
    library_weights.DEDODE_DETECTOR,
    library_weights.DEDODE_DESCRIPTOR,
    library_weights.KEYNET,
    library_weights.ORINET,
    library_weights.HARDNET,
    library_weights.LIGHTGLUE,
)


def photo(height: int = 130, width: int = 170, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rough = rng.random((height // 10, width // 10, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def save(network: torch.nn.Module, path: Path, part: str = "") -> str:
    state = network.state_dict()
    torch.save({part: state} if part else state, path)
    return str(path)


# ---------- frames ----------


@pytest.fixture(scope="module")
def xfeat(tmp_path_factory: pytest.TempPathFactory) -> XFeat:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("xfeat") / "xfeat.pt"
    return XFeat(XFeatOptions(weights=save(XFeatNetwork().net, path), top_k=0, threshold=0.0))


def test_xfeat_keypoints_are_centres_of_the_pixels_it_sees(xfeat: XFeat) -> None:
    """130 x 170 is seen as 128 x 160: pixel i of that has its centre at (i + 0.5) r - 0.5."""
    found = xfeat(photo())
    ratio = np.array([170 / 160, 130 / 128])
    seen = (found.keypoints + 0.5) / ratio - 0.5
    assert len(found) > 20
    np.testing.assert_allclose(seen, np.rint(seen), atol=1e-4)


def test_xfeat_gives_kornias_descriptors_and_scores(xfeat: XFeat) -> None:
    image = photo(128, 160)  # no resizing: then kornia's places are right, too
    network = XFeatNetwork()
    network.net.load_state_dict(xfeat._network.net.state_dict())
    pixels = torch.tensor(image).permute(2, 0, 1)[None]
    theirs = network.eval().detectAndCompute(pixels, top_k=10_000, detection_threshold=0.0)[0]
    found = xfeat(image)
    np.testing.assert_allclose(found.keypoints, theirs["keypoints"].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.scores, theirs["scores"].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.descriptors, theirs["descriptors"].numpy(), atol=1e-5)


def test_disk_and_aliked_give_kornias_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pixels = torch.tensor(photo()).permute(2, 0, 1)[None]
    disk = kornia.feature.DISK().eval()
    aliked = kornia.feature.ALIKED("aliked-t16", 200, 0.0).eval()
    with torch.inference_mode():
        expected = disk(pixels, n=50, pad_if_not_divisible=True)[0]
        wanted = aliked(pixels)[0]
    found = Disk(DiskOptions(save(disk, tmp_path / "disk.pth", "extractor"), top_k=50))(photo())
    order = torch.argsort(expected.detection_scores, descending=True, stable=True)
    np.testing.assert_allclose(found.keypoints, expected.keypoints[order].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.descriptors, expected.descriptors[order].numpy(), atol=1e-5)
    weights = save(aliked, tmp_path / "aliked.pth")
    options = AlikedOptions("aliked-t16", weights, top_k=200, threshold=0.0)
    ours = Aliked(options)(photo())
    order = torch.argsort(wanted.keypoint_scores, descending=True, stable=True)
    np.testing.assert_allclose(ours.keypoints, wanted.keypoints[order].numpy(), atol=1e-4)
    assert ours.descriptors.shape[1] == 64


@pytest.mark.slow
def test_dedode_counts_from_the_centre_of_the_first_pixel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = kornia.feature.DeDoDe("L", "B", amp_dtype=torch.float32).eval()
    options = DedodeOptions(
        save(network.detector, tmp_path / "a.pth"), save(network.descriptor, tmp_path / "b.pth"), 30
    )
    dedode = Dedode(options)
    image = photo(30, 40)
    found = dedode(image)
    np.testing.assert_allclose(found.keypoints, np.rint(found.keypoints), atol=1e-4)
    assert found.keypoints.min() >= -1e-4 and (found.keypoints <= [39.001, 29.001]).all()
    np.testing.assert_allclose(
        dedode.describe(image, found.keypoints), found.descriptors, atol=1e-4
    )


@pytest.fixture(scope="module")
def keynet(tmp_path_factory: pytest.TempPathFactory) -> Keynet:
    folder = tmp_path_factory.mktemp("keynet")
    torch.manual_seed(0)
    detector, orinet = kornia.feature.KeyNet(False), kornia.feature.OriNet(False)
    hardnet = kornia.feature.HardNet(False)
    torch.nn.init.constant_(detector.last_conv[0].bias, 1.0)  # untrained, it would be 0 or below
    options = KeynetOptions(
        weights=save(detector, folder / "keynet.pth", "state_dict"),
        orientation_weights=save(orinet, folder / "orinet.pth", "state_dict"),
        descriptor_weights=save(hardnet, folder / "hardnet.pth", "state_dict"),
        top_k=60,
    )
    return Keynet(options)


def test_keynet_keypoints_are_centres_of_the_pixels_of_their_level(keynet: Keynet) -> None:
    image = photo().mean(axis=2)
    found = keynet(image)
    assert found.scales is not None and len(found) == 60
    ratio = found.scales[:, None] / 22
    assert len(np.unique(ratio.round(2))) > 1, "more than one level"
    size = np.array([170, 130])
    sizes = np.rint(size / ratio) + np.arange(-1, 2)[:, None, None]  # (3, N, 2), one is the level's
    on_level = (found.keypoints - (ratio - 1) / 2) * sizes / size
    assert np.abs(on_level - np.rint(on_level)).min(axis=0).max() < 0.02


def test_keynet_directions_count_from_x_towards_y(keynet: Keynet) -> None:
    """The direction that kornia drew its patch with, upwards there, downwards here."""
    image = photo().mean(axis=2)
    found = keynet(image)
    with torch.inference_mode():
        frames, scores, _ = keynet._network(torch.tensor(image)[None, None])
    best = frames[0, scores[0].argmax()]
    x_axis = best[:, 0] / best[:, 0].norm()  # of the patch, in the image
    assert found.orientations is not None
    angle = np.deg2rad(found.orientations[0])
    np.testing.assert_allclose([np.cos(angle), np.sin(angle)], x_axis.numpy(), atol=1e-4)


# ---------- weights ----------


def test_every_download_names_licence_and_a_safe_address() -> None:
    wanted = [download for catalogue in CATALOGUES for download in catalogue.published.values()]
    assert len(wanted) == len({download.file_name for download in wanted}) >= 20
    for download in wanted:
        assert download.licence and download.url.startswith("https://")
        assert download.suffix in download.url


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network and an empty cache."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(published.urllib.request, "urlopen", refuse)
    monkeypatch.setenv("SILK_SFM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("make", "name", "url"),
    [
        (
            lambda: Aliked(AlikedOptions()),
            "aliked-n16",
            "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n16.pth",
        ),
        (
            lambda: Disk(DiskOptions(weights="disk-epipolar")),
            "disk-epipolar",
            "https://github.com/cvlab-epfl/disk/raw/master/epipolar-save.pth",
        ),
        (
            lambda: Keynet(KeynetOptions()),
            "keynet",
            "https://github.com/axelBarroso/Key.Net-Pytorch/raw/main/model/weights/"
            "keynet_pytorch.pth",
        ),
    ],
)
def test_offline_says_what_to_get_and_where_to_put_it(
    make: Callable[[], Any], name: str, url: str, offline: Path
) -> None:
    with pytest.raises(WeightsError) as caught:
        make()
    assert str(caught.value) == (
        f"Cannot fetch the weights {name} (Name or service not known). Download {url} on another "
        f"machine and save it as {offline / name}.pth."
    )


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = Path(save(torch.nn.Linear(2, 3), tmp_path / "linear.pth"))
    with pytest.raises(WeightsError) as caught:
        load_library(kornia.feature.HardNet(False), path)
    assert str(caught.value) == (
        f"{path}: expected the tensors of HardNet, found 21 missing, the first is "
        "features.0.weight."
    )


def test_no_weights_of_this_name() -> None:
    with pytest.raises(WeightsError, match=r"^No weights xfeet: no such file\. Give a \.pth"):
        XFeat(XFeatOptions(weights="xfeet"))


def test_digest_of_several_files(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_text(path.name)
    each = "".join(hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))
    assert joint_digest(*files) == hashlib.sha256(each.encode()).hexdigest()
    assert joint_digest(*files) != joint_digest(*files[::-1])


# ---------- options and images ----------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (lambda: AlikedOptions(threshold=1.0), r"threshold must lie in \[0, 1\), got 1\.0\."),
        (lambda: AlikedOptions(nms_radius=0), r"nms_radius must be at least 1, got 0\."),
        (lambda: DiskOptions(nms_radius=0), r"nms_radius must be at least 1, got 0\."),
        (lambda: XFeatOptions(threshold=-0.1), r"threshold must lie in \[0, 1\), got -0\.1\."),
        (lambda: DedodeOptions(top_k=-1), r"top_k must be at least 0, got -1\."),
        (lambda: KeynetOptions(top_k=0), r"top_k must be at least 1, got 0\."),
    ],
)
def test_options_are_checked(options: Callable[[], Any], text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{text}$"):
        options()


def test_grey_is_refused_where_colour_is_needed(xfeat: XFeat, keynet: Keynet) -> None:
    with pytest.raises(ImageError, match=r"^XFeat needs an \(H, W, 3\) float32 RGB image, got"):
        xfeat(np.zeros((40, 40), np.float32))
    with pytest.raises(ImageError, match=r"^Key\.Net needs an \(H, W\) float32 grey image, got"):
        keynet(np.zeros((40, 40, 3), np.float32))


# ---------- the authors' weights, where somebody has fetched them ----------


def cached(name: str) -> None:
    """Skip the test unless these weights were fetched before."""
    if not any(cache_folder().glob(f"{name}.*")):
        pytest.skip(f"the weights {name} are not in {cache_folder()}")


@pytest.mark.parametrize(
    ("extractor", "weights"), [("aliked", "aliked-n16"), ("disk", "disk-depth"), ("xfeat", "xfeat")]
)
def test_published_weights_find_a_photo_in_its_scaled_copy(extractor: str, weights: str) -> None:
    """An offset c of all keypoints shows as c (s - 1) between an image and its copy scaled by s.

    DISK's weights carry one of about -0.4 px and XFeat's of 0.3 px: learned, not a frame.
    """
    cached(weights)
    plugin = plugins.load("extractors", extractor)
    made = plugin(plugin.Options(), "cpu")
    path = shared("reference_others", "images", "coffee_240x320.png")
    image = np.asarray(cv2.imread(str(path))[:, :, ::-1], np.float32) / 255
    copy = np.clip(cv2.resize(image, (480, 360), interpolation=cv2.INTER_CUBIC), 0, 1)
    a, b = made(image), made(copy)
    similarity = a.descriptors @ b.descriptors.T
    best = similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[best] == np.arange(len(a))
    offsets = b.keypoints[best[mutual]] - ((a.keypoints[mutual] + 0.5) * 1.5 - 0.5)
    close = offsets[np.abs(offsets).max(axis=1) < 2]
    assert len(close) > 60
    assert np.abs(close.mean(axis=0)).max() < 0.4


def test_cached_files_are_the_ones_in_the_authors_repositories() -> None:
    checked = 0
    for catalogue in CATALOGUES:
        for wanted in catalogue.published.values():
            path = cache_folder() / wanted.file_name
            if path.is_file() and wanted.digest.startswith("git:"):
                found = subprocess.run(
                    ["git", "hash-object", str(path)], capture_output=True, text=True, check=True
                )
                assert wanted.digest == f"git:{found.stdout.strip()}"
                checked += 1
    if not checked:
        pytest.skip(f"no such weights in {cache_folder()}")

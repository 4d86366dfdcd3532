from __future__ import annotations

from pathlib import Path

import kornia.feature
import numpy as np
import pytest
import torch
from small_photos import write_small_photos, write_small_weights

from silk_sfm import SiLK, Silk, SilkOptions
from silk_sfm.errors import ImageError
from silk_sfm.images import ImageFolder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> SilkOptions:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    write_small_weights(path)
    return SilkOptions(weights=str(path), nms_radius=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """(2, 3, 120, 160): two windows of one texture, the second moved by (6, 11) px."""
    root = tmp_path_factory.mktemp("photos")
    write_small_photos(root, 2)
    folder = ImageFolder.open(root)
    pixels = np.stack([folder.read(name, "rgb").pixels for name in folder.names])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def test_the_same_as_the_extractor(options: SilkOptions, photos: torch.Tensor) -> None:
    frames, responses, descriptors = SiLK(50, options)(photos)
    assert frames.shape == (2, 50, 2, 3)
    luma = (photos * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)
    silk = Silk(SilkOptions(weights=options.weights, nms_radius=2, top_k=50))
    for index, grey in enumerate(luma.numpy()):
        own = silk(grey)
        np.testing.assert_allclose(frames[index, :, :, 2], own.keypoints, atol=1e-3)
        np.testing.assert_allclose(responses[index], own.scores, atol=1e-5)
        np.testing.assert_allclose(descriptors[index], own.descriptors, atol=1e-4)


def test_frames_are_what_kornia_makes_of_centre_and_extent(
    options: SilkOptions, photos: torch.Tensor
) -> None:
    frames, _, _ = SiLK(20, options)(photos[:1])
    centres = kornia.feature.get_laf_center(frames)
    extents = torch.full((1, 20, 1, 1), 3.0)  # pvgg-micro: two blocks and a head
    made = kornia.feature.laf_from_center_scale_ori(centres, extents, torch.zeros(1, 20, 1))
    torch.testing.assert_close(frames, made)
    assert not frames.requires_grad


def test_kornia_matches_with_it(options: SilkOptions, photos: torch.Tensor) -> None:
    matcher = kornia.feature.LocalFeatureMatcher(
        SiLK(200, options), kornia.feature.DescriptorMatcher("mnn")
    )
    found = matcher({"image0": photos[:1], "image1": photos[1:]})
    moved = found["keypoints0"] - found["keypoints1"]
    agree = (moved - torch.tensor([6.0, 11.0])).norm(dim=1) < 1
    assert len(moved) > 50
    assert agree.float().mean() > 0.8


def test_mask_chooses_before_the_best_are_counted(
    options: SilkOptions, photos: torch.Tensor
) -> None:
    mask = torch.zeros(2, 1, 120, 160)
    mask[:, :, :, 100:] = 1
    frames, responses, _ = SiLK(40, options)(photos, mask)
    assert (frames[..., 0, 2] > 99).all()
    assert (responses > 0).all()


def test_fewer_keypoints_are_zeros_behind(options: SilkOptions, photos: torch.Tensor) -> None:
    mask = torch.ones(2, 1, 120, 160)
    mask[0, :, :, :150] = 0
    frames, responses, descriptors = SiLK(300, options)(photos, mask)
    n_first = int((responses[0] > 0).sum())
    assert 0 < n_first < 300
    assert (responses[1] > 0).all()
    filled = kornia.feature.laf_is_filled(frames)
    assert filled[0].sum() == n_first
    assert filled[1].all()
    assert (descriptors[0, n_first:] == 0).all()
    empty, _, none = SiLK(9, options)(photos[:1], torch.zeros(1, 1, 120, 160))
    assert empty.shape == (1, 0, 2, 3)
    assert none.shape == (1, 0, 32)


def test_error_texts(options: SilkOptions) -> None:
    silk = SiLK(9, options)
    with pytest.raises(ImageError) as caught:
        silk(torch.rand(1, 2, 50, 50))
    assert str(caught.value) == "SiLK needs images of shape (B, 1 or 3, H, W), got (1, 2, 50, 50)."
    with pytest.raises(ImageError) as caught:
        silk(torch.rand(1, 1, 50, 50), torch.ones(1, 50, 50))
    assert str(caught.value) == "The mask must have the shape (1, 1, 50, 50), got (1, 50, 50)."


def test_torch_hub(options: SilkOptions, photos: torch.Tensor) -> None:
    loaded = torch.hub.load(
        str(ROOT), "silk", source="local", num_features=30, weights=options.weights, nms_radius=2
    )
    for found, expected in zip(loaded(photos), SiLK(30, options)(photos), strict=True):
        torch.testing.assert_close(found, expected)
    network = torch.hub.load(str(ROOT), "silk_network", source="local")
    assert network(torch.rand(1, 1, 30, 40))[0].shape == (1, 1, 12, 22)

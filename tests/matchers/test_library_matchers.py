"""smnn, adalam and lightglue: kornia's results, our contract, and what they need of features."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import kornia.feature
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.feature.adalam import match_adalam

from silk_sfm import plugins
from silk_sfm.errors import ConfigError, WeightsError
from silk_sfm.extractors.sift import Sift, SiftOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.matchers.adalam import Adalam, AdalamOptions
from silk_sfm.matchers.lightglue import LightGlue, LightGlueOptions
from silk_sfm.matchers.smnn import Smnn, SmnnOptions
from silk_sfm.nn.published import cache_folder
from silk_sfm.plugins import Matcher


def features(n: int, seed: int, size: int = 128) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(n, size))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(
        keypoints=rng.uniform(0, 400, (n, 2)).astype(np.float32),
        scores=rng.random(n).astype(np.float32),
        descriptors=descriptors.astype(np.float32),
        image_size=(640, 480),
        scales=rng.uniform(1, 8, n).astype(np.float32),
        orientations=rng.uniform(0, 360, n).astype(np.float32),
    )


def noisy(a: LocalFeatures, seed: int, noise: float = 0.05) -> LocalFeatures:
    """The same features with other numbers added to their descriptors."""
    moved = a.descriptors + np.random.default_rng(seed).normal(0, noise, a.descriptors.shape)
    unit = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return replace(a, descriptors=unit.astype(np.float32))


def photos() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A texture, its copy by a similarity, and the (2, 3) map of pixels between them."""
    rough = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    image = np.clip(cv2.resize(rough, (400, 300), interpolation=cv2.INTER_CUBIC), 0, 1)
    moved = cv2.getRotationMatrix2D((200, 150), 20, 0.9)
    return image, cv2.warpAffine(image, moved, (400, 300)), moved


@pytest.fixture(scope="module")
def sift_pair() -> tuple[LocalFeatures, LocalFeatures, np.ndarray]:
    image, copy, moved = photos()
    sift = Sift(SiftOptions(top_k=400))
    return sift(image), sift(copy), moved


def share_right(
    a: LocalFeatures, b: LocalFeatures, indices: np.ndarray, moved: np.ndarray
) -> float:
    expected = a.keypoints[indices[:, 0]] @ moved[:, :2].T + moved[:, 2]
    offsets = np.linalg.norm(b.keypoints[indices[:, 1]] - expected, axis=1)
    return float((offsets < 3).mean())


# ---------- smnn ----------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.7, 0.9, 0.95, 1.0]))
def test_smnn_is_kornias(n_a: int, n_b: int, ratio: float) -> None:
    a = features(max(n_a, n_b), seed=n_a)
    b = noisy(a, seed=n_b, noise=0.15).select(np.arange(n_b))
    a = a.select(np.arange(n_a))
    found = Smnn(SmnnOptions(ratio))(a, b)
    sides = (torch.tensor(side.descriptors) for side in (a, b))
    _, expected = kornia.feature.match_smnn(*sides, th=ratio)
    np.testing.assert_array_equal(found.indices, expected.numpy().reshape(-1, 2))


def test_smnn_needs_the_ratio_both_ways() -> None:
    """The second image has a double: from the first it is unclear, from the second it is not."""
    a, b = np.eye(4, dtype=np.float32)[:2], np.eye(4, dtype=np.float32)[[0, 1, 1]]
    b[2] = [0, 0.999, 0.0447, 0]
    one, double = (
        replace(features(len(d), 0, 4), descriptors=d / np.linalg.norm(d, axis=1, keepdims=True))
        for d in (a, b)
    )
    for first, second in ((one, double), (double, one)):
        found = Smnn(SmnnOptions(0.9))(first, second)
        assert found.indices.tolist() == [[0, 0], [1, 1]]  # the exact copy has distance 0
    blurred = noisy(one, 1, 0.1)
    assert Smnn(SmnnOptions(0.8))(blurred, double).indices.tolist() == [[0, 0]]
    assert Smnn(SmnnOptions(0.8))(double, blurred).indices.tolist() == [[0, 0]]


# ---------- adalam ----------


def test_adalam_is_kornias(sift_pair: tuple[LocalFeatures, LocalFeatures, np.ndarray]) -> None:
    a, b, _ = sift_pair
    frames = [
        kornia.feature.laf_from_center_scale_ori(
            torch.tensor(side.keypoints)[None],
            torch.tensor(side.scales)[None, :, None, None],
            torch.tensor(side.orientations)[None, :, None],
        )
        for side in (a, b)
    ]
    torch.manual_seed(0)
    _, expected = match_adalam(
        torch.tensor(a.descriptors),
        torch.tensor(b.descriptors),
        *frames,
        hw1=(300, 400),
        hw2=(300, 400),
    )
    found = Adalam(AdalamOptions())(a, b)
    theirs = {tuple(pair) for pair in expected.tolist()}
    ours = {tuple(pair) for pair in found.indices.tolist()}
    assert ours <= theirs and len(ours) > 0.95 * len(theirs) > 50


def test_adalam_drops_what_its_surroundings_contradict(
    sift_pair: tuple[LocalFeatures, LocalFeatures, np.ndarray],
) -> None:
    a, b, moved = sift_pair
    found = Adalam(AdalamOptions())(a, b)
    assert share_right(a, b, found.indices, moved) > 0.97
    state = torch.random.get_rng_state()
    again = Adalam(AdalamOptions())(a, b)
    np.testing.assert_array_equal(found.indices, again.indices)
    assert torch.equal(state, torch.random.get_rng_state()), "the caller's random state stays"


def test_adalam_works_without_scales_and_directions(
    sift_pair: tuple[LocalFeatures, LocalFeatures, np.ndarray],
) -> None:
    a, b, moved = sift_pair
    bare = [replace(side, scales=None, orientations=None) for side in (a, b)]
    found = Adalam(AdalamOptions())(*bare)
    assert len(found) > 50 and share_right(a, b, found.indices, moved) > 0.9


# ---------- lightglue ----------


@pytest.fixture(scope="module")
def sift_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return weights_for("sift", tmp_path_factory.mktemp("lightglue"))


def weights_for(name: str, folder: Path, old_names: bool = False) -> str:
    """Random weights that keep descriptors as they are at the end, so that like matches like."""
    torch.manual_seed(0)
    settings = {**kornia.feature.LightGlue.features[name], "weights": None}
    network = kornia.feature.LightGlue(None, **settings)
    for layer in network.log_assignment:
        torch.nn.init.eye_(layer.final_proj.weight)
        layer.final_proj.weight.data *= 16
        torch.nn.init.constant_(layer.matchability.bias, 5.0)
    state = network.state_dict()
    del state["confidence_thresholds"]
    if old_names:
        state = {
            re.sub(r"^transformers\.(\d+)\.(self|cross)_attn\.", r"\2_attn.\1.", key): value
            for key, value in state.items()
        }
    path = folder / f"{name}{'-old' if old_names else ''}.pth"
    torch.save(state, path)
    return str(path)


def kornias(name: str, weights: str, inputs: list[dict[str, torch.Tensor]]) -> np.ndarray:
    settings = {**kornia.feature.LightGlue.features[name], "weights": None}
    network = kornia.feature.LightGlue(None, **settings).eval()
    network.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    with torch.inference_mode():
        found = network({"image0": inputs[0], "image1": inputs[1]})
    return np.asarray(found["matches"][0].numpy())


def test_lightglue_gives_sift_keypoints_as_colmap_has_them(
    sift_weights: str, sift_pair: tuple[LocalFeatures, LocalFeatures, np.ndarray]
) -> None:
    a, b = (side.select(np.arange(80)) for side in sift_pair[:2])
    inputs = []
    for side in (a, b):
        degrees = np.where(side.orientations > 180, side.orientations - 360, side.orientations)
        given = {
            "keypoints": side.keypoints,
            "scales": side.scales,
            "oris": np.deg2rad(degrees),
            "descriptors": side.descriptors,
            "image_size": np.array([400, 300], np.float32),
        }
        inputs.append({key: torch.tensor(v, dtype=torch.float32)[None] for key, v in given.items()})
    expected = kornias("sift", sift_weights, inputs)
    options = LightGlueOptions(features="sift", weights=sift_weights)
    found = LightGlue(options)(a, b)
    assert len(expected) > 10
    np.testing.assert_array_equal(found.indices, expected)


def test_lightglue_sees_scales_in_pixels_of_the_image_extracted_from(
    sift_weights: str, sift_pair: tuple[LocalFeatures, LocalFeatures, np.ndarray]
) -> None:
    """The same features in a file twice as large: nothing changes."""
    a, b = (side.select(np.arange(80)) for side in sift_pair[:2])
    large = [
        replace(
            side,
            keypoints=side.keypoints * 2,
            image_size=(800, 600),
            scales=side.scales * 2,  # type: ignore[operator]
            uncertainty=2.0,
        )
        for side in (a, b)
    ]
    matcher = LightGlue(LightGlueOptions(features="sift", weights=sift_weights))
    first, second = matcher(a, b), matcher(*large)
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-4)


@pytest.mark.parametrize("name", ["disk", "xfeat"])
def test_lightglue_reads_old_names_and_any_descriptor_size(name: str, tmp_path: Path) -> None:
    size = kornia.feature.LightGlue.features[name]["input_dim"]
    a = features(50, 0, size)
    b = noisy(a, 1)
    both = [
        LightGlue(LightGlueOptions(features=name, weights=weights_for(name, tmp_path, old)))(a, b)  # type: ignore[arg-type]
        for old in (False, True)
    ]
    assert len(both[0]) > 0
    np.testing.assert_array_equal(both[0].indices, both[1].indices)


def test_lightglue_takes_the_best_keypoints_and_gives_their_own_numbers(sift_weights: str) -> None:
    a = features(60, 0)
    b = noisy(a, 1)
    options = LightGlueOptions(features="sift", weights=sift_weights, max_keypoints=20)
    found = LightGlue(options)(a, b)
    best = np.sort(np.argsort(-a.scores)[:20])
    assert 0 < len(found) <= 20 and set(found.indices.ravel()) <= set(best)
    part = replace(options, max_keypoints=0)
    alone = LightGlue(part)(a.select(best), b.select(best))
    np.testing.assert_array_equal(found.indices, best[alone.indices])


def test_lightglue_works_with_keypoints_on_the_very_border(sift_weights: str) -> None:
    a = features(30, 0)
    a.keypoints[:2] = [(-0.5, -0.5), (639.5, 479.5)]
    found = LightGlue(LightGlueOptions(features="sift", weights=sift_weights))(a, noisy(a, 1))
    assert len(found) > 5


def test_auto_asks_the_extractor_of_the_store(sift_weights: str) -> None:
    a = replace(features(30, 0), method="sift")
    auto = LightGlue(LightGlueOptions(weights=sift_weights))
    said = LightGlue(LightGlueOptions(features="sift", weights=sift_weights))
    np.testing.assert_array_equal(auto(a, noisy(a, 1)).indices, said(a, noisy(a, 1)).indices)


@pytest.mark.parametrize(
    ("methods", "named"),
    [
        (("silk", "silk"), "silk"),
        (("superpoint", "superpoint"), "superpoint"),
        (("", ""), "unknown features"),
        (("sift", "disk"), "disk and sift"),
        (("elsewhere:Class", "elsewhere:Class"), "elsewhere:Class"),
    ],
)
def test_features_that_lightglue_does_not_know(methods: tuple[str, str], named: str) -> None:
    a, b = (replace(features(5, 0), method=method) for method in methods)
    with pytest.raises(ConfigError) as caught:
        LightGlue(LightGlueOptions())(a, b)
    assert str(caught.value) == (
        f"There is no LightGlue for {named}. Match them with another matcher, or say what they are "
        "with `--features`: superpoint, disk, aliked, sift, xfeat, dedodeb, keynet_affnet_hardnet."
    )


def test_lightglue_says_what_is_missing(sift_weights: str, tmp_path: Path) -> None:
    matcher = LightGlue(LightGlueOptions(features="sift", weights=sift_weights))
    a = features(5, 0)
    with pytest.raises(ConfigError) as caught:
        matcher(a, replace(a, scales=None))
    assert str(caught.value) == (
        "LightGlue for sift needs the scales of the keypoints, which these features do not have. "
        "Extract them with silk-sfm."
    )
    with pytest.raises(ConfigError, match="needs descriptors of 128 numbers, got 64"):
        matcher(features(5, 0, 64), features(5, 1, 64))
    with pytest.raises(WeightsError, match=r"expected the tensors of LightGlue, found \d+ missing"):
        LightGlue(LightGlueOptions(features="aliked", weights=weights_for("xfeat", tmp_path)))


def test_every_lightglue_name_of_an_extractor_is_known() -> None:
    known = kornia.feature.LightGlue.features
    declared = {
        name: plugins.load("extractors", name).lightglue
        for name in plugins.names("extractors")
        if hasattr(plugins.load("extractors", name), "lightglue")
    }
    assert "superpoint" not in declared, "its default weights are not those LightGlue knows"
    assert {"sift", "colmap-sift", "aliked", "disk", "xfeat", "dedode", "keynet"} <= set(declared)
    for name, lightglue in declared.items():
        options = LightGlueOptions(features=lightglue)
        assert lightglue in known and options, name


@pytest.mark.parametrize(
    ("name", "size"), [("lightglue-aliked", 128), ("lightglue-disk", 128), ("lightglue-xfeat", 64)]
)
def test_published_weights_load_where_somebody_has_fetched_them(name: str, size: int) -> None:
    if not any(cache_folder().glob(f"{name}.*")):
        pytest.skip(f"the weights {name} are not in {cache_folder()}")
    options = LightGlueOptions(features=name.removeprefix("lightglue-"))  # type: ignore[arg-type]
    a = features(100, 0, size)
    found = LightGlue(options)(a, a)
    assert len(found) > 50
    np.testing.assert_array_equal(found.indices[:, 0], found.indices[:, 1])


# ---------- the contract ----------


@pytest.fixture(params=["smnn", "adalam", "lightglue"])
def matcher(request: pytest.FixtureRequest, sift_weights: str) -> Any:
    return {
        "smnn": lambda: Smnn(SmnnOptions()),
        "adalam": lambda: Adalam(AdalamOptions()),
        "lightglue": lambda: LightGlue(LightGlueOptions(features="sift", weights=sift_weights)),
    }[request.param]()


@pytest.mark.parametrize("counts", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 7), (2, 2), (30, 17)])
def test_at_most_one_match_for_each_keypoint(matcher: Matcher, counts: tuple[int, int]) -> None:
    a = features(30, seed=0)
    b = noisy(a, seed=1).select(np.arange(counts[1]))
    a = a.select(np.arange(counts[0]))
    found = matcher(a, b)
    assert found.indices.dtype == np.int32 and found.scores.dtype == np.float32
    assert (np.diff(found.indices[:, 0]) > 0).all(), "sorted by the keypoint of image a"
    assert len(np.unique(found.indices[:, 1])) == len(found) <= min(counts)
    assert isinstance(matcher, Matcher)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (lambda: SmnnOptions(ratio=0.0), "ratio must lie in (0, 1], got 0.0."),
        (lambda: AdalamOptions(min_inliers=0), "min_inliers must be at least 1, got 0."),
        (
            lambda: AdalamOptions(scale_rate_threshold=-1.0),
            "scale_rate_threshold must be above 0, got -1.0.",
        ),
        (lambda: LightGlueOptions(threshold=1.0), "threshold must lie in [0, 1), got 1.0."),
        (lambda: LightGlueOptions(max_keypoints=-1), "max_keypoints must be at least 0, got -1."),
    ],
)
def test_options_are_checked(options: Callable[[], Any], text: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        options()

"""The plug-ins of silk-sfm as models of hloc: with hloc where it is installed, else a stand-in.

tests/data/hloc was recorded with hloc itself (commit and commands in its README).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hloc_stand_in import write_stand_in
from small_photos import write_small_photos

from silk_sfm import plugins
from silk_sfm.errors import ConfigError, PluginError, StoreError
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder
from silk_sfm.matchers.double_softmax import DoubleSoftmax
from silk_sfm.store import FeatureStore, MatchStore

RECORDED = Path(__file__).parent / "data" / "hloc"
PAIR = ("000.png", "001.png")


@pytest.fixture
def bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """silk_sfm.hloc, freshly imported; nothing of it stays behind."""
    if find_spec("hloc") is None:
        write_stand_in(tmp_path / "stand_in")
        monkeypatch.syspath_prepend(tmp_path / "stand_in")
    yield importlib.import_module("silk_sfm.hloc")
    for name in list(sys.modules):
        if name.split(".")[0] == "hloc" or name == "silk_sfm.hloc":
            del sys.modules[name]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    root = tmp_path_factory.mktemp("photos")
    write_small_photos(root, 2, (200, 150))
    return ImageFolder.open(root)


def load(kind: str, conf: dict[str, Any]) -> Any:
    """The model of a conf, as hloc makes it."""
    root = importlib.import_module(f"hloc.{kind}")
    base_model = importlib.import_module("hloc.utils.base_model")
    return base_model.dynamic_load(root, conf["name"])(conf).eval()


# ---------- what is there ----------


def test_every_plugin_is_a_model(bridge: ModuleType) -> None:
    base_model = importlib.import_module("hloc.utils.base_model")
    for kind, confs in (
        ("extractors", bridge.confs.extractors),
        ("matchers", bridge.confs.matchers),
    ):
        assert sorted(confs) == plugins.names(kind)  # type: ignore[arg-type]
        root = importlib.import_module(f"hloc.{kind}")
        for name, conf in confs.items():
            assert base_model.dynamic_load(root, conf["model"]["name"]).plugin == name
            assert base_model.dynamic_load(root, f"silk_sfm_{name}").plugin == name


def test_models_of_hloc_keep_their_names(bridge: ModuleType) -> None:
    assert bridge.confs.extractors["silk"]["model"]["name"] == "silk"
    spec = find_spec("hloc.extractors.superpoint")
    assert spec is not None
    assert str(spec.origin).endswith("superpoint.py")  # hloc's own file
    if "superpoint" in bridge.confs.extractors:
        assert bridge.confs.extractors["superpoint"]["model"]["name"] == "silk_sfm_superpoint"


def test_importing_it_again_changes_nothing(bridge: ModuleType) -> None:
    before = vars(bridge.confs)
    assert vars(importlib.reload(bridge).confs) == before
    load("matchers", {"name": "mutual"})


def test_confs_have_what_hloc_reads(bridge: ModuleType) -> None:
    assert bridge.confs.extractors["silk"] == {
        "output": "feats-silk_sfm_silk",
        "model": {"name": "silk"},
        "preprocessing": {"grayscale": False, "resize_max": 1600},
    }
    assert bridge.confs.matchers["mutual"] == {
        "output": "matches-silk_sfm_mutual",
        "model": {"name": "mutual"},
    }


def test_options_are_keys_of_the_conf(bridge: ModuleType) -> None:
    with pytest.raises(ConfigError) as caught:
        load("extractors", {"name": "silk", "topk": 5})
    assert str(caught.value) == "hloc conf of `silk`: unknown key `topk`. Did you mean `top_k`?"


def test_without_hloc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hloc", None)
    monkeypatch.delitem(sys.modules, "silk_sfm.hloc", raising=False)
    with pytest.raises(PluginError) as caught:
        importlib.import_module("silk_sfm.hloc")
    assert "Get it with `git clone --recursive" in str(caught.value)


# ---------- what models give ----------


def test_features_are_those_of_the_extractor(bridge: ModuleType, photos: ImageFolder) -> None:
    model = load("extractors", {"name": "silk", "top_k": 100})
    rgb = photos.read("000.png", "rgb").pixels
    found = model({"image": torch.from_numpy(rgb).permute(2, 0, 1)[None]})
    own = Silk(SilkOptions(top_k=100))(photos.read("000.png", "grey").pixels)
    assert found.keys() == {"keypoints", "scores", "descriptors"}
    np.testing.assert_allclose(found["keypoints"][0], own.keypoints, atol=1e-4)
    np.testing.assert_allclose(found["scores"][0], own.scores, atol=1e-5)
    np.testing.assert_allclose(found["descriptors"][0].T, own.descriptors, atol=1e-5)
    assert model.detection_noise == own.uncertainty


def test_grey_and_colour_reach_an_extractor_as_it_wants_them(bridge: ModuleType) -> None:
    grey, colour = torch.rand(1, 4, 5), torch.rand(3, 4, 5)
    np.testing.assert_array_equal(bridge._pixels(grey, "grey"), grey[0])
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    np.testing.assert_allclose(bridge._pixels(colour, "grey"), luma, atol=1e-6)
    np.testing.assert_array_equal(bridge._pixels(grey, "rgb"), np.stack([grey[0]] * 3, axis=2))
    np.testing.assert_array_equal(bridge._pixels(colour, "rgb"), colour.permute(1, 2, 0))


def test_scales_and_directions_come_along(bridge: ModuleType, photos: ImageFolder) -> None:
    rgb = photos.read("000.png", "rgb").pixels
    found = load("extractors", {"name": "sift"})(
        {"image": torch.from_numpy(rgb).permute(2, 0, 1)[None]}
    )
    assert found["scales"].shape == found["oris"].shape == found["scores"].shape


def as_hloc_reads(features: LocalFeatures, suffix: str) -> dict[str, torch.Tensor]:
    """A batch of one, as hloc's loader makes it from a feature file."""
    width, height = features.image_size
    arrays = {
        "keypoints": features.keypoints,
        "scores": features.scores,
        "descriptors": features.descriptors.T.copy(),
        "image_size": np.float32([width, height]),
    }
    batch = {key + suffix: torch.from_numpy(array)[None] for key, array in arrays.items()}
    return {**batch, "image" + suffix: torch.empty((1, 1, height, width))}


def test_matches_are_those_of_the_matcher(bridge: ModuleType) -> None:
    with FeatureStore(RECORDED / "feats-silk.h5") as store:
        a, b = store["000.png"], store["001.png"]
    model = load("matchers", {"name": "double-softmax", "threshold": 0.1})
    found = model({**as_hloc_reads(a, "0"), **as_hloc_reads(b, "1")})
    own = DoubleSoftmax(DoubleSoftmax.Options(threshold=0.1))(a, b)
    assert len(own) > 50
    rows = np.flatnonzero(found["matches0"][0] >= 0)
    np.testing.assert_array_equal(rows, own.indices[:, 0])
    np.testing.assert_array_equal(found["matches0"][0][rows], own.indices[:, 1])
    np.testing.assert_array_equal(found["matching_scores0"][0][rows], own.scores)
    assert found["matches0"].shape == (1, len(a))


def test_an_image_without_keypoints_has_no_match(bridge: ModuleType) -> None:
    empty = LocalFeatures.empty(128, (10, 10))
    found = load("matchers", {"name": "mutual"})(
        {**as_hloc_reads(empty, "0"), **as_hloc_reads(empty, "1")}
    )
    assert found["matches0"].shape == found["matching_scores0"].shape == (1, 0)


def test_more_keypoints_than_int16_counts_are_refused(bridge: ModuleType) -> None:
    few = LocalFeatures.empty(1, (10, 10))
    n_many = 2**15 + 1
    many = LocalFeatures(
        np.zeros((n_many, 2), np.float32),
        np.zeros(n_many, np.float32),
        np.ones((n_many, 1), np.float32),
        (10, 10),
    )
    with pytest.raises(StoreError) as caught:
        load("matchers", {"name": "mutual"})(
            {**as_hloc_reads(few, "0"), **as_hloc_reads(many, "1")}
        )
    assert str(caught.value) == (
        "hloc stores matches as int16, and the second image has 32769 keypoints. "
        "Extract fewer, or match with `silk-sfm match`."
    )


# ---------- files that hloc itself wrote with these models ----------


def test_features_written_by_hloc_are_ours(photos: ImageFolder) -> None:
    silk = Silk(SilkOptions(top_k=150))
    with FeatureStore(RECORDED / "feats-silk.h5") as store:
        assert store.names == list(photos.names)
        for name in store.names:
            photo = photos.read(name, "grey", max_side=160)
            own, recorded = silk(photo.pixels).in_file(photo.grid), store[name]
            assert recorded.image_size == own.image_size == (200, 150)
            assert recorded.uncertainty == pytest.approx(1.25)
            nearest, distance = nearest_rows(recorded.keypoints, own.keypoints)
            assert (distance < 0.1).mean() > 0.97  # float16 counts in 1/8 px from 128 px on
            dot = (recorded.descriptors * own.descriptors[nearest]).sum(axis=1)
            assert (dot > 0.999).mean() > 0.97


def nearest_rows(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of (N, 2) points the nearest of (M, 2) others, and how far it is."""
    distances = np.linalg.norm(points[:, None] - others[None], axis=2)
    return distances.argmin(axis=1), distances.min(axis=1)


def test_matches_written_by_hloc_are_ours() -> None:
    with (
        FeatureStore(RECORDED / "feats-silk.h5") as features,
        MatchStore(RECORDED / "matches-double-softmax.h5") as matches,
    ):
        recorded = matches[PAIR]
        own = DoubleSoftmax(DoubleSoftmax.Options())(*(features[name] for name in PAIR))
    assert len(recorded) > 50
    np.testing.assert_array_equal(recorded.indices, own.indices)
    np.testing.assert_allclose(recorded.scores, own.scores, atol=1e-3)  # float16


# ---------- hloc's own pipeline ----------


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # hloc's loaders warn of few CPUs
@pytest.mark.skipif(find_spec("hloc") is None, reason="needs hloc, which no package index has")
def test_hloc_extracts_and_matches_as_silk_sfm_does(
    bridge: ModuleType, photos: ImageFolder, tmp_path: Path
) -> None:
    extract_features = importlib.import_module("hloc.extract_features")
    match_features = importlib.import_module("hloc.match_features")
    conf = {**bridge.confs.extractors["silk"], "model": {"name": "silk", "top_k": 200}}
    features = extract_features.main(conf, photos.root, tmp_path, as_half=False)
    (tmp_path / "pairs.txt").write_text(" ".join(PAIR))
    matches = tmp_path / "matches.h5"
    match_features.main(
        bridge.confs.matchers["double-softmax"], tmp_path / "pairs.txt", features, matches=matches
    )
    silk = Silk(SilkOptions(top_k=200))
    with FeatureStore(features) as store, MatchStore(matches) as pairs:
        for name in photos.names:
            own = silk(photos.read(name, "grey").pixels)
            np.testing.assert_allclose(store[name].keypoints, own.keypoints, atol=1e-3)
            np.testing.assert_allclose(store[name].descriptors, own.descriptors, atol=1e-4)
        expected = DoubleSoftmax(DoubleSoftmax.Options())(*(store[name] for name in PAIR))
        np.testing.assert_array_equal(pairs[PAIR].indices, expected.indices)

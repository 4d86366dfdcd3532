"""Parts of a scene that do not connect become models of their own, and are named."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from many_view_scene import SIZE, ManyViewScene, many_view_scene
from PIL import Image

from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.colmap.mapping import MappingOptions
from silk_sfm.colmap.model import read_model
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder
from silk_sfm.stages.build import ModelReport, build_model, write_summary
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    Provenance,
    VerifiedStore,
    VerifiedWriter,
)

OPTIONS = MappingOptions(min_model_size=3, threads=1)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blank photos and stores of two scenes, of 3 and of 6 images."""
    root = tmp_path_factory.mktemp("parts")
    (root / "photos").mkdir()
    scenes = {"small": many_view_scene(3, seed=1), "large": many_view_scene(6)}
    with FeatureWriter(root / "f.h5", Provenance("test", {}, {})) as store:
        for name, xy in chain(*(keypoints(label, scene) for label, scene in scenes.items())):
            Image.new("RGB", SIZE).save(root / "photos" / name)
            n, ones = len(xy), np.ones(len(xy), np.float32)
            store.add(name, LocalFeatures(xy, ones, np.ones((n, 1), np.float32), SIZE))
    with FeatureStore(root / "f.h5") as features:
        made = Provenance("test", {}, {"features": features.digest})
    with VerifiedWriter(root / "v.h5", made) as verified:
        for label, scene in scenes.items():
            for a, b, geometry in scene.pairs("fundamental"):
                names = (f"{label} {a}", f"{label} {b}")
                verified.add_pair(names, geometry, len(scene.keypoints[a]))
    return root


def keypoints(label: str, scene: ManyViewScene) -> list[tuple[str, np.ndarray]]:
    return [(f"{label} {name}", xy) for name, xy in scene.keypoints.items()]


def build(work: Path, out: Path) -> ModelReport:
    cameras = CameraOptions(camera_mode="single")
    images = ImageFolder.open(work / "photos")
    with FeatureStore(work / "f.h5") as features, VerifiedStore(work / "v.h5") as verified:
        report = build_model(images, features, verified, out, cameras, OPTIONS)
    write_summary(out, report, {})
    return report


def test_both_are_kept_and_named(work: Path, tmp_path: Path) -> None:
    for is_reused in (False, True):
        report = build(work, tmp_path)
        assert report.reused == is_reused
        assert report.others == (3,)
        assert str(report).startswith("map: 6 of 9 images registered, ")
        assert str(report).endswith("; separate: sparse/1 with 3 images")
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert summary["other_models"] == {"sparse/1": 3}
    assert all(name.startswith("small") for name in read_model(tmp_path / "sparse" / "1").names)


def test_many_are_counted(work: Path, tmp_path: Path) -> None:
    report = build(work, tmp_path)
    many = ModelReport(report.model, report.numbers, 99, "", False, (9, 8, 7, 6, 5))
    assert str(many).endswith(
        "; separate: sparse/1 with 9 images, sparse/2 with 8 images, sparse/3 with 7 images, and 2 "
        "more"
    )
    alone = ModelReport(report.model, report.numbers, 6, "", False)
    assert "separate" not in str(alone)

"""`silk-sfm pairs --pairing retrieval` on stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_photos import write_small_photos, write_small_weights

from silk_sfm.cli.main import DONE, FAILED, main
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder
from silk_sfm.pairs import PairList
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.reconstruct import Reconstruction
from silk_sfm.store import FeatureWriter, Provenance

N_PLACES, N_VIEWS, N_FEATURES = 4, 3, 150


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three views of each of four places; those of one place differ by noise."""
    path = tmp_path_factory.mktemp("places") / "features.h5"
    rng = np.random.default_rng(0)
    with FeatureWriter(path, Provenance("test", {}, {})) as features:
        for place in range(N_PLACES):
            seen = rng.normal(size=(N_FEATURES, 128))
            for view in range(N_VIEWS):
                features.add(f"{view}/place {place}.jpg", noisy(seen, rng))
    return path


def noisy(seen: np.ndarray, rng: np.random.Generator) -> LocalFeatures:
    descriptors = seen + rng.normal(size=seen.shape) * 0.4
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    keypoints = rng.uniform(0, 99, (len(seen), 2)).astype(np.float32)
    return LocalFeatures(
        keypoints, np.ones(len(seen), np.float32), descriptors.astype(np.float32), (100, 100)
    )


def test_views_of_one_place_are_paired(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = store.with_name("pairs.txt")
    flags = ["--pairing", "retrieval", "--similar", str(N_VIEWS - 1)]
    assert main(["pairs", str(store), str(out), *flags]) == DONE
    assert capsys.readouterr().out == f"pairs: 12 pairs of 12 images -> {out}\n"
    pairs = PairList.read(out)
    assert all(a[1:] == b[1:] and a < b for a, b in pairs)


def test_enough_similar_ones_are_all_pairs(store: Path) -> None:
    out = store.with_name("all.txt")
    flags = ["--pairing", "retrieval", "--similar", "11", "-q"]
    assert main(["pairs", str(store), str(out), *flags]) == DONE
    assert len(PairList.read(out)) == 66


def test_reconstruct_pairs_by_its_own_features(tmp_path: Path) -> None:
    write_small_photos(tmp_path / "photos", 6)
    write_small_weights(tmp_path / "small.safetensors")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[pairs]\npairing = "retrieval"\nsimilar = 2\n[extractor]\nname = "silk"\n'
        f'weights = "{tmp_path / "small.safetensors"}"\ntop_k = 200\n'
    )
    images = ImageFolder.open(tmp_path / "photos")
    job = Reconstruction(images, tmp_path / "out", Recipe.read(str(recipe)), device="cpu")
    job.files.make()
    job.extract()
    report = job.match()
    pairs = PairList.read(job.files.pairs)
    assert report.total == len(pairs) < 15
    assert set(pairs.names) == set(images.names)


def test_retrieval_error_texts(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = store.with_name("photos")
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"")
    command = ["pairs", str(photos), str(store.with_name("p.txt")), "--pairing", "retrieval"]
    assert main(command) == FAILED
    assert capsys.readouterr().err == (
        "silk-sfm pairs: error: Retrieval compares descriptors: give a feature store, not photos.\n"
    )
    assert main([*command, "--similar", "0"]) == FAILED
    assert capsys.readouterr().err == (
        "silk-sfm pairs: error: similar must be at least 1, got 0.\n"
    )

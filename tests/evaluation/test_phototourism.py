from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from rendered_room import room, room_views
from shared_data import shared

from silk_sfm.cli.main import main
from silk_sfm.errors import ConfigError, DatasetError, StoreError
from silk_sfm.evaluation.phototourism import Phototourism, PhototourismOptions, find_sequences
from silk_sfm.evaluation.protocol import Predictions
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    Provenance,
    benchmark_pairs,
    export_benchmark,
)
from silk_sfm.synthetic import write_photos

NAMES = ["img_0001.jpg", "img_0002.jpg", "img_0010.jpg"]
MADE = Provenance("made up", {}, {})


def write_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / name)


def features(n: int, size: int = 128) -> LocalFeatures:
    rng = np.random.default_rng(n)
    keypoints = rng.uniform(0, 1500, (n, 2)).astype(np.float32)
    descriptors = rng.normal(size=(n, size)).astype(np.float32)
    return LocalFeatures(keypoints, np.ones(n, np.float32), descriptors, (1600, 1200))


def stores(
    folder: Path, names: list[str], counts: list[int], size: int = 128, swapped: bool = False
) -> Predictions:
    """Keypoint i matches keypoint i + 1 in the first pair; the others have no match."""
    predictions = Predictions("method", folder)
    with FeatureWriter(predictions.features, MADE, precision="float32") as writer:
        for name, count in zip(names, counts, strict=True):
            writer.add(name, features(count, size))
    with MatchWriter(predictions.matches, MADE) as matches:
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                first = (a, b) == (names[0], names[1])
                rows = np.array([[0, 1], [2, 3], [4, 0]] if first else [], np.int32).reshape(-1, 2)
                pair = (b, a) if swapped else (a, b)
                rows = rows[:, ::-1][np.argsort(rows[:, 1])] if swapped else rows
                value = Matches(np.ascontiguousarray(rows), np.ones(len(rows), np.float32))
                matches.add_pair(pair, value, counts[names.index(pair[0])])
    return predictions


def export(predictions: Predictions, names: list[str], folder: Path) -> list[Path]:
    with (
        FeatureStore(predictions.features) as opened,
        MatchStore(predictions.matches) as matches,
    ):
        return export_benchmark(opened, matches, names, folder)


def layout(path: Path) -> dict[str, tuple[int, str]]:
    """Number of axes and kind of every dataset."""
    with h5py.File(path) as file:
        return {key: (file[key].ndim, file[key].dtype.kind) for key in file}


@pytest.mark.parametrize("swapped", [False, True])
def test_files_have_the_layout_of_the_sample(tmp_path: Path, swapped: bool) -> None:
    predictions = stores(tmp_path, NAMES, [7, 5, 6], swapped=swapped)
    written = export(predictions, NAMES, tmp_path / "seq_a")
    assert [path.name for path in written] == ["keypoints.h5", "descriptors.h5", "matches.h5"]
    sample = shared("reference_others", "imb", "sample", "phototourism", "seq_a")
    for path in written:
        assert layout(path) == layout(sample / path.name), path


def test_content(tmp_path: Path) -> None:
    predictions = stores(tmp_path, NAMES, [7, 5, 6])
    keypoints, descriptors, matches = export(predictions, NAMES, tmp_path / "out")
    with h5py.File(keypoints) as file, FeatureStore(predictions.features) as stored:
        np.testing.assert_array_equal(file["img_0010"][()], stored.keypoints("img_0010.jpg"))
        assert file["img_0010"].dtype == np.float32
    with h5py.File(descriptors) as file:
        np.testing.assert_array_equal(file["img_0002"][()], features(5).descriptors)
    with h5py.File(matches) as file:
        # row 0 counts in the image with the greater name, which is the second one here
        pairs = file["img_0002-img_0001"][()].T.tolist()
        assert sorted(pairs) == [[0, 4], [1, 0], [3, 2]]
        assert file["img_0010-img_0002"].shape == (2, 0)
        assert set(file) == {"img_0002-img_0001", "img_0010-img_0001", "img_0010-img_0002"}


def test_pairs_compare_keys_not_file_names() -> None:
    """`a.png` < `a_1.png` as names, for `.` < `_`; so are the keys `a` < `a_1`; `A` < `a`."""
    assert benchmark_pairs(["a.png", "a_1.png", "A.png"]) == [
        ("a_1.png", "a.png"),
        ("a_1.png", "A.png"),
        ("a.png", "A.png"),
    ]
    assert benchmark_pairs(["b!.jpg", "b.jpg"]) == [("b!.jpg", "b.jpg")]


@pytest.mark.parametrize(
    ("names", "counts", "size", "message"),
    [
        (["a-1.jpg", "b.jpg"], [5, 5], 128, r"^The image `a-1\.jpg` has a `-` in its name"),
        (["x/a.jpg", "y/a.jpg"], [5, 5], 128, r"^`x/a\.jpg` and `y/a\.jpg` would both be `a`"),
        (["a.jpg", "b.jpg"], [5, 8001], 128, r"^`b\.jpg` has 8001 keypoints; .* at most 8000\.$"),
        (["a.jpg", "b.jpg"], [5, 5], 32, r"descriptors of 32 numbers; .* 64 to 2048\.$"),
    ],
)
def test_what_the_benchmark_refuses(
    tmp_path: Path, names: list[str], counts: list[int], size: int, message: str
) -> None:
    predictions = stores(tmp_path, names, counts, size)
    with pytest.raises(StoreError, match=message):
        export(predictions, names, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_stores_are_not_written_over(tmp_path: Path) -> None:
    predictions = stores(tmp_path, ["a.jpg", "b.jpg"], [5, 5])
    before = predictions.matches.read_bytes()
    with pytest.raises(StoreError, match=r"matches\.h5 would be written over\. Choose another"):
        export(predictions, ["a.jpg", "b.jpg"], tmp_path)
    assert predictions.matches.read_bytes() == before
    assert not (tmp_path / "keypoints.h5").exists()


@pytest.mark.parametrize("place", ["set_100/images", "images", "."])
def test_sequences_are_found(tmp_path: Path, place: str) -> None:
    for name in ("british_museum", "st_pauls"):
        write_images(tmp_path / name / place, NAMES)
    (tmp_path / "empty").mkdir()
    found = find_sequences(tmp_path)
    assert list(found) == ["british_museum", "st_pauls"]
    assert list(found["st_pauls"].names) == NAMES
    assert list(find_sequences(tmp_path / "st_pauls")) == ["st_pauls"]
    with pytest.raises(DatasetError, match="No sequence with two or more images"):
        find_sequences(tmp_path / "empty")


def test_the_protocol_exports_each_sequence(tmp_path: Path) -> None:
    write_images(tmp_path / "data" / "st_pauls" / "images", NAMES)
    protocol = Phototourism(
        tmp_path / "data", tmp_path / "out", PhototourismOptions(max_keypoints=2048)
    )
    (job,) = protocol.jobs()
    assert (job.name, job.n_keypoints, len(job.pairs)) == ("st_pauls", 2048, 3)
    predictions = stores(tmp_path / "predicted", NAMES, [7, 5, 6])
    paths = protocol.export(job, predictions, tmp_path / "out")
    folder = tmp_path / "out" / "method" / "import" / "phototourism" / "st_pauls"
    assert {path.parent for path in paths} == {folder}
    (row,) = protocol.score(job, predictions, seed=0)
    assert row.metrics == {"images": 3, "pairs": 3, "matches": 1, "pairs without matches": 2}
    assert row.keypoints == 6


def test_names_are_refused_before_anything_runs(tmp_path: Path) -> None:
    write_images(tmp_path, ["a-1.jpg", "b.jpg"])
    with pytest.raises(StoreError, match="`-` in its name"):
        Phototourism(tmp_path, tmp_path, PhototourismOptions())
    with pytest.raises(ConfigError, match=r"^max_keypoints must lie in 1\.\.8000, got 9000\.$"):
        PhototourismOptions(max_keypoints=9000)


def test_the_command_exports_the_best_keypoints(tmp_path: Path) -> None:
    """The whole way, with SIFT; a quarter of what it finds is kept."""
    data = tmp_path / "data" / "hall" / "set_100" / "images"
    write_photos(data, room_views(3), room())
    command = ["evaluate", "phototourism", str(tmp_path / "data"), "--methods", "sift"]
    command += ["--max-keypoints", "300", "--out", str(tmp_path / "out"), "--no-plots"]
    assert main(command) == 0
    folder = tmp_path / "out" / "sift" / "import" / "phototourism" / "hall"
    with h5py.File(folder / "keypoints.h5") as file:
        assert {key: len(file[key]) for key in file} == {"0": 300, "1": 300, "2": 300}
    with h5py.File(folder / "matches.h5") as file:
        assert set(file) == {"1-0", "2-0", "2-1"}
        assert file["1-0"].shape[0] == 2
        assert file["1-0"].shape[1] > 50
        assert file["1-0"][()].max() < 300

"""`silk-sfm pairs`: every way of pairing alone and joined with others, on folders and stores."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from silk_sfm.cli.main import DONE, FAILED, SOME_SKIPPED, main
from silk_sfm.errors import ConfigError, PairError
from silk_sfm.features import LocalFeatures
from silk_sfm.pairs import PairList
from silk_sfm.stages import pair
from silk_sfm.stages.pair import ImageSource, PairOptions, make_pairs, write_pairs
from silk_sfm.stages.positions import GPS_IFD
from silk_sfm.store import FeatureWriter, Provenance

NAMES = [f"{i:02d}.jpg" for i in range(12)]


def numbers(pairs: PairList) -> list[tuple[int, int]]:
    return [(NAMES.index(a), NAMES.index(b)) for a, b in pairs]


def positions(folder: Path, places: dict[int, float]) -> Path:
    """A file with images on a line, x in metres."""
    path = folder / "positions.txt"
    path.write_text("".join(f"{NAMES[i]} {x} 0\n" for i, x in places.items()))
    return path


def vectors(folder: Path, rows: np.ndarray) -> Path:
    np.savez(folder / "vectors.npz", names=np.array(NAMES), descriptors=rows)
    return folder / "vectors.npz"


def circle(n: int, turns: float) -> np.ndarray:
    """Vectors on a circle that is walked along `turns` times."""
    angle = np.arange(n) / n * turns * 2 * np.pi
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_union_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("11.jpg 02.jpg\n00.jpg 01.jpg\n")
    options = PairOptions(
        pairing="file+sequential+spatial+retrieval",
        window=1,
        pair_file=tmp_path / "list.txt",
        positions=positions(tmp_path, {0: 0.0, 5: 0.5, 9: 40.0}),
        position_unit="metres",
        radius_m=1.0,
        similar=1,
        retrieval_by="file",
        global_descriptors=vectors(tmp_path, circle(12, 2)),  # i looks like i + 6
    )
    found = numbers(make_pairs(NAMES, options))
    expected = {(i, i + 1) for i in range(11)} | {(i, i + 6) for i in range(6)} | {(0, 5), (2, 11)}
    assert found == sorted(expected)


def test_loops_are_closed_where_images_look_alike(tmp_path: Path) -> None:
    options = PairOptions(
        pairing="sequential",
        window=1,
        loop_every=4,
        loop_window=1,
        loop_similar=1,
        retrieval_by="file",
        global_descriptors=vectors(tmp_path, circle(12, 2)),
    )
    found = set(numbers(make_pairs(NAMES, options))) - {(i, i + 1) for i in range(11)}
    assert found == {(0, 5), (0, 6), (0, 7), (4, 9), (4, 10), (4, 11), (1, 8), (2, 8), (3, 8)}


def test_images_within_the_window_are_no_loops(tmp_path: Path) -> None:
    """The most alike images are the neighbours; what is wanted are those beyond them."""
    options = PairOptions(
        pairing="sequential",
        window=2,
        loop_every=12,
        loop_window=0,
        loop_similar=2,
        retrieval_by="file",
        global_descriptors=vectors(tmp_path, circle(12, 0.9)),
    )
    found = [pair for pair in numbers(make_pairs(NAMES, options)) if pair[1] - pair[0] > 2]
    assert found == [(0, 3), (0, 11)]


def test_a_list_alone_keeps_its_order(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("11.jpg 02.jpg\n00.jpg 01.jpg\n")
    options = PairOptions(pairing="file", pair_file=tmp_path / "list.txt")
    assert numbers(make_pairs(NAMES, options)) == [(11, 2), (0, 1)]
    written = write_pairs(tmp_path / "out.txt", ImageSource(NAMES), options)
    assert written.n_pairs == 2
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "list.txt").read_text()


@pytest.mark.parametrize("by", ["vlad", "vocabulary"])
def test_views_of_one_place_by_their_descriptors(tmp_path: Path, by: str) -> None:
    rng = np.random.default_rng(0)
    store = tmp_path / "features.h5"
    with FeatureWriter(store, Provenance("test", {}, {})) as features:
        for place in range(4):
            seen = rng.normal(size=(120, 128))
            for view in range(3):
                features.add(
                    f"{view}/{place}.jpg", described(seen + 0.4 * rng.normal(size=seen.shape))
                )
        features.add("blank.jpg", LocalFeatures.empty(128, (9, 9)))
    out = tmp_path / "pairs.txt"
    flags = ["--pairing", "retrieval", "--similar", "2", "--retrieval-by", by, "-q"]
    assert main(["pairs", str(store), str(out), *flags]) == DONE
    pairs = PairList.read(out)
    assert sorted(pairs) == sorted(
        (f"{a}/{place}.jpg", f"{b}/{place}.jpg")
        for place in range(4)
        for a, b in ((0, 1), (0, 2), (1, 2))
    )


def described(descriptors: np.ndarray) -> LocalFeatures:
    unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    n = len(unit)
    xy = np.zeros((n, 2), np.float32)
    return LocalFeatures(xy, np.ones(n, np.float32), unit.astype(np.float32), (9, 9))


def write_flight(folder: Path, n_placed: int) -> Path:
    """Photos 111 m apart to the north; those after the first `n_placed` have no GPS."""
    folder.mkdir()
    for i, name in enumerate(NAMES[:5]):
        exif = Image.Exif()
        if i < n_placed:
            exif.get_ifd(GPS_IFD).update(
                {1: "N", 2: (55.0, i * 0.06, 0.0), 3: "E", 4: (13.0, 0, 0)}
            )
        Image.new("RGB", (8, 6)).save(folder / name, exif=exif)
    return folder


def test_photos_without_gps_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = write_flight(tmp_path / "photos", 3), tmp_path / "pairs.txt"
    flags = ["--pairing", "spatial", "--nearest", "0", "--radius-m", "120"]
    assert main(["pairs", str(photos), str(out), *flags]) == SOME_SKIPPED
    printed = capsys.readouterr()
    assert printed.out == f"pairs: 2 pairs of 5 images -> {out}\n"
    skipped = "skipped 03.jpg: no GPS position\nskipped 04.jpg: no GPS position\n"
    assert printed.err.endswith(skipped)
    assert out.read_text() == "00.jpg 01.jpg\n01.jpg 02.jpg\n"
    joined = ["--pairing", "spatial+sequential", "--window", "1", "--nearest", "1"]
    assert main(["pairs", str(photos), str(out), *joined]) == DONE  # the others are paired, too
    assert len(PairList.read(out)) == 4


def test_what_is_read_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_flight(tmp_path / "photos", 0)
    places = positions(tmp_path, {0: 0.0, 1: 0.5})
    flags = ["--pairing", "spatial", "--positions", str(places), "--position-unit", "metres"]
    before = places.read_bytes()
    assert main(["pairs", str(photos), str(places), *flags, "--overwrite"]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm pairs: error: {places} is read here. Choose another file to write.\n"
    )
    assert places.read_bytes() == before


def test_a_store_with_its_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = write_flight(tmp_path / "photos", 5), tmp_path / "pairs.txt"
    store = tmp_path / "features.h5"
    with FeatureWriter(store, Provenance("test", {}, {})) as features:
        for name in NAMES[:5]:
            features.add(name, LocalFeatures.empty(8, (8, 6)))
    command = ["pairs", str(store), str(out), "--pairing", "spatial", "--nearest", "1"]
    assert main([*command, "--photos", str(photos)]) == DONE
    assert len(PairList.read(out)) == 4
    capsys.readouterr()
    assert main(command) == FAILED
    assert capsys.readouterr().err == (
        "silk-sfm pairs: error: Spatial pairs need positions: a folder of photos with GPS in their "
        "EXIF, or a file with `positions`.\n"
    )


def test_huge_lists_are_announced_and_must_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pair, "MANY_PAIRS", 60)
    out = tmp_path / "pairs.txt"
    assert write_pairs(out, ImageSource(NAMES), PairOptions()).n_pairs == 66
    assert caplog.messages == [f"{out}: up to 66 pairs of 12 images, about 0.0 GB"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    names = [f"{i:05d}.jpg" for i in range(20_000)]
    with pytest.raises(PairError) as caught:
        write_pairs(out, ImageSource(names), PairOptions())
    assert str(caught.value) == (
        f"The list would hold up to 199990000 pairs of 20000 images, about 4.0 GB; {tmp_path} has "
        "0.0 GB left. Choose sequential, spatial or retrieval pairs, or another disk."
    )
    assert len(PairList.read(out)) == 66
    with pytest.raises(PairError, match=r"^exhaustive pairing of 20000 images gives 199990000 pa"):
        make_pairs(names, PairOptions())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"pairing": "nearby"},
            "No pairing `nearby`. There are: exhaustive, sequential, spatial, ",
        ),
        ({"pairing": "sequential+"}, "No pairing ``. There are: exhaustive, sequential, spatial, "),
        ({"pairing": "spatial+spatial"}, "pairing `spatial+spatial` names one way twice."),
        ({"pairing": "exhaustive+spatial"}, "exhaustive has all pairs: nothing can be joined to "),
        ({"pairing": "file+spatial"}, "`pairing = file` and `pair_file` go together: give both "),
        ({"nearest": 0}, "nearest = 0 takes all images within radius_m: give one of the two."),
        ({"nearest": -1}, "loop_similar and nearest must be at least 0."),
        ({"radius_m": 0.0}, "radius_m must be above 0 m, got 0.0."),
        ({"loop_similar": 3}, "loop_similar needs loop_every: which images look for a loop."),
        ({"retrieval_by": "file"}, "`retrieval_by = file` and `global_descriptors` go together"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PairOptions(**options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("by", ["vlad", "vocabulary"])
@pytest.mark.parametrize("n_images", [0, 1])
def test_too_few_images_for_loops(
    tmp_path: Path, by: str, n_images: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "features.h5"
    with FeatureWriter(store, Provenance("test", {}, {})) as features:
        for name in NAMES[:n_images]:
            features.add(name, described(np.ones((4, 8))))
    command = ["pairs", str(store), str(tmp_path / "p.txt"), "--pairing", "sequential"]
    loops = ["--loop-every", "1", "--loop-similar", "1", "--retrieval-by", by]
    assert main([*command, *loops]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm pairs: error: No pairs from {n_images} images. Give at least two images.\n"
    )


def test_no_descriptors_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "features.h5"
    with FeatureWriter(store, Provenance("test", {}, {})) as features:
        for name in NAMES:
            features.add(name, LocalFeatures.empty(8, (8, 6)))
    command = ["pairs", str(store), str(tmp_path / "p.txt"), "--pairing", "retrieval"]
    assert main([*command, "--retrieval-by", "vlad", "--similar", "2"]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm pairs: error: No image in {store} has descriptors. Extract with other options.\n"
    )

"""`silk-sfm draw`: known pixels, sizes and errors."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from PIL import Image

from silk_sfm.cli.main import DONE, FAILED, main
from silk_sfm.drawing.canvas import subdued
from silk_sfm.drawing.matches import GAP, HEADER, PAPER, WRONG
from silk_sfm.features import LocalFeatures, Matches, TwoViewGeometry
from silk_sfm.images import EXIF_ORIENTATION
from silk_sfm.store import (
    FeatureStore,
    FeatureWriter,
    MatchStore,
    MatchWriter,
    Provenance,
    VerifiedWriter,
)

MADE = Provenance("test", {}, {})
SIZE = (120, 80)
GREY = 150
YELLOW, VIOLET, GREEN = (253, 231, 37), (68, 1, 84), (33, 145, 140)  # best, worst, middle
POINTS = np.array([[20, 10], [60, 40], [100, 70]], np.float32)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey photos, one turned by EXIF, with three keypoints each; of three matches one is bad."""
    root = tmp_path_factory.mktemp("draw")
    (root / "photos").mkdir()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    for name in ("a.png", "b.png"):
        Image.new("RGB", SIZE, (GREY,) * 3).save(root / "photos" / name)
    Image.new("RGB", SIZE, (GREY,) * 3).save(root / "photos" / "turned.jpg", exif=exif)
    scores = np.array([0.9, 0.1, 0.4], np.float32)
    with FeatureWriter(root / "f.h5", MADE) as features:
        for name in ("a.png", "b.png", "turned.jpg"):
            features.add(name, LocalFeatures(POINTS, scores, np.ones((3, 4), np.float32), SIZE))
        features.add("gone.png", LocalFeatures.empty(4, SIZE))
    with FeatureStore(root / "f.h5") as stored:
        made = Provenance("test", {}, {"features": stored.digest})
    pair, rows = ("a.png", "b.png"), np.array([[0, 0], [1, 1], [2, 1]], np.int32)
    with MatchWriter(root / "m.h5", made) as matches:
        matches.add_pair(pair, Matches(rows, np.array([0.9, 0.5, 0.4], np.float32)), 3)
    kept = Matches(rows[:2], np.array([0.9, 0.5], np.float32))
    with MatchStore(root / "m.h5") as tentative:
        made = Provenance("test", {}, made.inputs | {"matches": tentative.digest})
    with VerifiedWriter(root / "v.h5", made) as verified:
        verified.add_pair(pair, TwoViewGeometry("fundamental", np.eye(3), kept, 1.0, 3), 3)
    return root


def draw(work: Path, *words: object) -> np.ndarray:
    """(H, W, 3) RGB of what `silk-sfm draw` writes."""
    out = work / "out.png"
    assert main(["draw", *map(str, words), str(out), "--overwrite", "-q"]) == DONE
    return np.asarray(cv2.imread(str(out))[:, :, ::-1])


def draw_keypoints(work: Path, name: str, *flags: str) -> np.ndarray:
    out = work / "out.png"
    command = ["draw", "keypoints", str(work / "photos"), str(work / "f.h5"), name, str(out)]
    assert main([*command, "--overwrite", "-q", *flags]) == DONE
    return np.asarray(cv2.imread(str(out))[:, :, ::-1])


def draw_matches(work: Path, store: str, *flags: str) -> np.ndarray:
    out = work / "out.png"
    words = [work / "photos", work / "f.h5", work / store, "a.png", "b.png", out]
    assert main(["draw", "matches", *map(str, words), "--overwrite", "-q", *flags]) == DONE
    return np.asarray(cv2.imread(str(out))[:, :, ::-1])


def at(picture: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(picture[y, x].tolist())


def test_keypoints_by_the_rank_of_their_scores(work: Path) -> None:
    picture = draw_keypoints(work, "a.png")
    assert picture.shape == (80, 120, 3)
    assert [at(picture, *xy) for xy in ((20, 10), (60, 40), (100, 70))] == [YELLOW, VIOLET, GREEN]
    background = subdued(np.full((1, 1, 3), GREY, np.uint8))[0, 0]
    assert at(picture, 5, 70) == tuple(background.tolist())


def test_keypoints_by_the_scores_themselves_or_all_alike(work: Path) -> None:
    by_score = draw_keypoints(work, "a.png", "--colour-by", "score")
    assert at(by_score, 100, 70) not in (YELLOW, VIOLET, GREEN)
    alike = draw_keypoints(work, "a.png", "--colour-by", "none")
    assert len({at(alike, *xy) for xy in ((20, 10), (60, 40), (100, 70))}) == 1


def test_only_the_best(work: Path) -> None:
    picture = draw_keypoints(work, "a.png", "--best", "1")
    assert at(picture, 20, 10) == YELLOW
    assert at(picture, 60, 40) == at(picture, 100, 70) == at(picture, 5, 70)


def test_smaller_pictures(work: Path) -> None:
    """x becomes (x + 0.5) / 2 - 0.5: 20 -> 9.75, 60 -> 29.75."""
    picture = draw_keypoints(work, "a.png", "--max-size", "60")
    assert picture.shape == (40, 60, 3)
    assert at(picture, 10, 5) == YELLOW
    assert at(picture, 30, 20) == VIOLET


def test_turned_photos_are_shown_upright(work: Path) -> None:
    """EXIF 6: the raw (x, y) is at (79 - y, x) of the upright photo."""
    picture = draw_keypoints(work, "turned.jpg")
    assert picture.shape == (120, 80, 3)
    assert at(picture, 69, 20) == YELLOW
    assert at(picture, 39, 60) == VIOLET


def test_an_image_without_keypoints(work: Path) -> None:
    Image.new("RGB", SIZE).save(work / "photos" / "gone.png")
    try:
        assert not draw_keypoints(work, "gone.png").any()
    finally:
        (work / "photos" / "gone.png").unlink()


def test_matches_of_both_kinds_of_stores(work: Path) -> None:
    right = SIZE[0] + GAP
    for store in ("m.h5", "v.h5"):
        picture = draw_matches(work, store)
        assert picture.shape == (SIZE[1] + HEADER, 2 * SIZE[0] + GAP, 3)
        assert at(picture, 20, 10 + HEADER) == YELLOW
        assert at(picture, right + 20, 10 + HEADER) == YELLOW
        assert at(picture, SIZE[0] + GAP // 2, HEADER + 60) == PAPER
    assert at(draw_matches(work, "v.h5"), 60, 40 + HEADER) == VIOLET


@pytest.mark.parametrize("store", ["m.h5", "v.h5"])
def test_a_pair_the_other_way_round(work: Path, store: str) -> None:
    out = work / "out.png"
    words = [work / "photos", work / "f.h5", work / store, "b.png", "a.png", out]
    flags = ["--tentative", str(work / "m.h5"), "--overwrite", "-q"]
    assert main(["draw", "matches", *map(str, words), *flags]) == DONE
    picture = np.asarray(cv2.imread(str(out))[:, :, ::-1])
    assert at(picture, 100, 70 + HEADER) != WRONG  # no match of b.png ends there
    right = at(picture, SIZE[0] + GAP + 100, 70 + HEADER)
    assert (right == WRONG) == (store == "v.h5")


def test_dropped_matches_are_red_below_the_kept_ones(work: Path) -> None:
    picture = draw_matches(work, "v.h5", "--tentative", str(work / "m.h5"))
    assert at(picture, 100, 70 + HEADER) == WRONG
    assert at(picture, SIZE[0] + GAP + 60, 40 + HEADER) == VIOLET  # a kept one ends there, too
    assert at(draw_matches(work, "v.h5"), 100, 70 + HEADER) != WRONG


def test_no_more_lines_than_asked_for(work: Path) -> None:
    one = draw_matches(work, "m.h5", "--max-lines", "1")
    ends = [at(one, int(x), int(y) + HEADER) for x, y in POINTS]
    assert sum(end in (YELLOW, VIOLET, GREEN) for end in ends) == 1
    pictures = [draw_matches(work, "m.h5", "--max-lines", "1", "--seed", str(s)) for s in range(9)]
    assert 1 < len({picture.tobytes() for picture in pictures}) <= 3
    again = draw_matches(work, "m.h5", "--max-lines", "1", "--seed", "4")
    np.testing.assert_array_equal(again, pictures[4])


def write_model(folder: Path, colour: tuple[int, int, int]) -> Path:
    """One camera that looks at points on a wall."""
    model = pycolmap.Reconstruction()
    camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 100.0, *SIZE)
    model.add_camera_with_trivial_rig(camera)
    for i in range(3):
        image = pycolmap.Image(name=f"{i}.jpg", camera_id=1, image_id=i + 1)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([i - 1.0, 0, 6]))
        model.add_image_with_trivial_frame(image, pose)
    for xyz in np.random.default_rng(0).uniform(-2, 2, (300, 3)):
        model.add_point3D(xyz, pycolmap.Track(), np.array(colour, np.uint8))
    folder.mkdir()
    model.write_binary(folder)
    return folder


def test_models(tmp_path: Path) -> None:
    model = write_model(tmp_path / "red", (250, 0, 0))
    picture = draw(tmp_path, "model", model)
    assert picture.shape == (720, 1280, 3)
    red = (picture[:, :, 0] > 200) & (picture[:, :, 1] < 60)
    assert red.sum() > 500
    small = draw(tmp_path, "model", "--size", "200", "100", model)
    assert small.shape == (100, 200, 3)


def test_going_around_a_model(tmp_path: Path) -> None:
    """A full turn is none."""
    model = write_model(tmp_path / "m", (250, 0, 0))
    front, around, above = (
        draw(tmp_path, "model", "--turn", turn, "--look-down", down, model)
        for turn, down in ((0, 23), (360, 23), (0, 80))
    )
    assert (np.abs(front.astype(int) - around).max(axis=2) > 8).mean() < 0.001
    assert (front != above).any()


def test_points_without_colours_are_seen(tmp_path: Path) -> None:
    picture = draw(tmp_path, "model", write_model(tmp_path / "black", (0, 0, 0)))
    assert (picture[:600].min(axis=2) > 150).sum() > 500


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["keypoints", "photos", "f.h5", "none.png", "new.png"],
            "{root}/f.h5 holds no features of `none.png`. Run `silk-sfm extract`.",
        ),
        (
            ["keypoints", "photos", "f.h5", "gone.png", "new.png"],
            "Cannot read {root}/photos/gone.png: No such file or directory.",
        ),
        (
            ["keypoints", "photos", "f.h5", "a.png", "new.gif"],
            "Cannot write {root}/new.gif. Name the picture .png or .jpg.",
        ),
        (
            ["keypoints", "photos", "f.h5", "a.png", "new.png", "--best", "0"],
            "best must be at least 1, got 0.",
        ),
        (
            ["matches", "photos", "f.h5", "m.h5", "a.png", "turned.jpg", "new.png"],
            "{root}/m.h5 holds no pair `a.png` `turned.jpg`.",
        ),
        (
            ["matches", "photos", "f.h5", "m.h5", "a.png", "b.png", "new.png", "--seed=-1"],
            "seed must not be negative, got -1.",
        ),
        (
            ["model", "photos", "new.png"],
            "No COLMAP model in {root}/photos (cameras.bin, images.bin, ...).",
        ),
        (
            ["model", "photos", "new.png", "--size", "9", "9"],
            "size must be at least 64 x 64 pixels",
        ),
        (["model", "photos", "new.png", "--turn", "nan"], "turn must be a number of degrees, got "),
        (["model", "photos", "new.png", "--look-down", "90"], "look_down must lie between -90 and"),
    ],
)
def test_error_texts(
    work: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"photos", "f.h5", "m.h5", "new.png", "new.gif"}
    assert main(["draw", *(str(work / w) if w in paths else w for w in words)]) == FAILED
    assert capsys.readouterr().err.startswith(f"silk-sfm draw: error: {text.format(root=work)}")
    assert not (work / "new.png").exists()


def test_a_picture_is_not_lost(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = work / "mine.png"
    command = ["draw", "keypoints", str(work / "photos"), str(work / "f.h5"), "a.png", str(out)]
    assert main(command) == DONE
    assert capsys.readouterr().out == f"draw: 120 x 80 pixels -> {out}\n"
    assert main(command) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm draw: error: There is a {out} already. Add --overwrite to replace it.\n"
    )


@pytest.mark.parametrize("what", [["keypoints", "a.png"], ["matches", "m.h5", "b.png", "a.png"]])
def test_a_photo_is_not_lost(
    work: Path, what: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photo = work / "photos" / "a.png"
    before = photo.read_bytes()
    stores = [str(work / word) if word.endswith("h5") else word for word in what[1:]]
    command = ["draw", what[0], str(work / "photos"), str(work / "f.h5"), *stores]
    assert main([*command, str(photo), "--overwrite"]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm draw: error: {photo} is read here. Choose another file to write.\n"
    )
    assert photo.read_bytes() == before


def test_matches_of_other_features(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = work / "other.h5"
    with FeatureWriter(other, MADE) as features:
        for name in ("a.png", "b.png"):
            few = LocalFeatures(POINTS, np.ones(3, np.float32), np.ones((3, 4), np.float32), SIZE)
            features.add(name, few.select(np.array([0])))
    words = [work / "photos", other, work / "m.h5", "a.png", "b.png", work / "new.png"]
    assert main(["draw", "matches", *map(str, words)]) == FAILED
    assert capsys.readouterr().err == (
        "silk-sfm draw: error: The matches name keypoint 2 of `a.png`, which has 1 in "
        f"{other}. Give the features that were matched.\n"
    )


def test_smaller_copies_of_the_photos(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copies = work / "copies"
    copies.mkdir()
    Image.new("RGB", (60, 40)).save(copies / "a.png")
    words = ["draw", "keypoints", str(copies), str(work / "f.h5"), "a.png", str(work / "new.png")]
    assert main(words) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm draw: error: {copies}/a.png is 60 x 40 px, its features are of 120 x 80 px. "
        "Give the photos that were extracted.\n"
    )


def test_stores_of_another_run(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many keypoints, but other ones: lines would end anywhere."""
    names, other = ("a.png", "b.png"), Provenance("another", {}, {})
    with FeatureWriter(work / "other_run.h5", other) as features:
        for name in names:
            scores = np.ones(3, np.float32)
            features.add(name, LocalFeatures(POINTS, scores, np.ones((3, 4), np.float32), SIZE))
    words = ["draw", "matches", str(work / "photos")]
    stores = [str(work / "other_run.h5"), str(work / "m.h5")]
    assert main([*words, *stores, *names, str(work / "new.png")]) == FAILED
    assert capsys.readouterr().err.startswith(
        f"silk-sfm draw: error: {stores[1]} was made from other features than {stores[0]}. "
    )
    with MatchStore(work / "m.h5") as matches, FeatureStore(work / "f.h5") as stored:
        found, inputs = matches[names], {"features": stored.digest}
    with MatchWriter(work / "others.h5", Provenance("another", {}, inputs)) as others:
        others.add_pair(names, found, 3)
    stores = [str(work / "f.h5"), str(work / "v.h5")]
    flags = ["--tentative", str(work / "others.h5")]
    assert main([*words, *stores, *names, str(work / "new.png"), *flags]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm draw: error: {stores[1]} was made from other matches than {flags[1]}. Give "
        "those as --tentative.\n"
    )

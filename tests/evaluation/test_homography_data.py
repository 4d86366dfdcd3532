"""Reading data sets with homographies: both layouts, and what a faulty one says."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from homography_sets import SIZE, texture, tilted, write_hpatches

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.homography_files import read_homography
from silk_sfm.evaluation.homography_pairs import read_pairs, write_list
from silk_sfm.evaluation.hpatches_files import D2NET_LEFT_OUT, HPatchesFiles
from silk_sfm.evaluation.planar import PlanarPair, planar_job, shown_size
from silk_sfm.evaluation.resized import resized_copies, write_png
from silk_sfm.images import ImageFolder, decode


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# ---------- homography files ----------


def test_read_homography(tmp_path: Path) -> None:
    path = written(tmp_path / "H", "1 0.5 -3e1\n\n0 2 4.25\n0 1e-5 1\n")
    expected = [[1, 0.5, -30], [0, 2, 4.25], [0, 1e-5, 1]]
    np.testing.assert_array_equal(read_homography(path), expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1 0 0\n0 1\n0 0 1\n", "{path}, line 2: expected 3 numbers, got 2."),
        ("1 0 0\n0 1 nan\n0 0 1\n", "{path}, line 2: `nan` is not finite."),
        ("1 0 0\n0 one 0\n0 0 1\n", "{path}, line 2: `one` is no number."),
        ("1 0 0\n0 1 0\n", "{path}: a homography has 3 lines of 3 numbers, got 2 lines."),
        (
            "1 2 3\n2 4 6\n0 0 1\n",
            "{path}: the homography is singular: it maps the image to a line.",
        ),
        (
            "0 0 0\n0 1 0\n0 0 1\n",
            "{path}: the homography is singular: it maps the image to a line.",
        ),
    ],
)
def test_faulty_homographies(tmp_path: Path, text: str, fault: str) -> None:
    path = written(tmp_path / "H_1_2", text)
    with pytest.raises(DatasetError) as caught:
        read_homography(path)
    assert str(caught.value) == fault.format(path=path)


def test_missing_homography(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_homography(tmp_path / "H_1_2")
    assert str(caught.value) == f"No homography {tmp_path / 'H_1_2'}. Copy the data set again."


# ---------- HPatches ----------


def test_hpatches_reads_every_sequence(tmp_path: Path) -> None:
    write_hpatches(tmp_path, ["v_b", "i_a"])
    (tmp_path / "notes").mkdir()
    files = HPatchesFiles.read(tmp_path)
    assert [each.name for each in files.sequences] == ["i_a", "v_b"]
    assert [each.subset for each in files.sequences] == ["illumination", "viewpoint"]
    assert files.sequences[1].images == tuple(f"v_b/{k}.png" for k in range(1, 7))
    np.testing.assert_allclose(files.sequences[1].homographies[2], tilted(4))
    pairs = files.original()
    assert len(pairs) == 10
    assert (pairs[9].a, pairs[9].b, pairs[9].size_b) == ("v_b/1.png", "v_b/6.png", SIZE)


@pytest.mark.parametrize("suffix", ["ppm", "jpg", "pgm"])
def test_hpatches_reads_the_published_kinds_of_image(tmp_path: Path, suffix: str) -> None:
    write_hpatches(tmp_path, ["i_a"])
    for path in (tmp_path / "i_a").glob("*.png"):
        channels = 0 if suffix == "pgm" else 1
        cv2.imwrite(str(path.with_suffix(f".{suffix}")), cv2.imread(str(path), channels))
        path.unlink()
    assert HPatchesFiles.read(tmp_path).sequences[0].images[0] == f"i_a/1.{suffix}"


def test_hpatches_without_sequences(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        HPatchesFiles.read(tmp_path)
    assert str(caught.value) == (
        f"No HPatches sequence in {tmp_path}: folders named i_* and v_*. Give the folder that "
        "holds them."
    )


def test_hpatches_with_a_missing_image(tmp_path: Path) -> None:
    write_hpatches(tmp_path, ["v_b"])
    (tmp_path / "v_b" / "4.png").unlink()
    with pytest.raises(DatasetError, match=r"^No image 4 in .*v_b: looked for 4\{\.ppm,\.png"):
        HPatchesFiles.read(tmp_path)


def test_hpatches_with_an_image_that_is_none(tmp_path: Path) -> None:
    write_hpatches(tmp_path, ["v_b"])
    written(tmp_path / "v_b" / "4.png", "no image")
    with pytest.raises(DatasetError, match=r"cannot be used: .*v_b/4\.png is no image"):
        HPatchesFiles.read(tmp_path).original()


def test_resized_copies_keep_to_the_homography(tmp_path: Path) -> None:
    """Image 1 at the new size, moved by the new homography, looks like image k at its new size."""
    write_hpatches(tmp_path / "data", ["v_b"])
    files = HPatchesFiles.read(tmp_path / "data")
    images, pairs = files.resized(tmp_path / "copies", lambda *_: (128, 80), "area")
    assert images.names == tuple(f"v_b/{k}.png" for k in range(1, 7))
    pair = pairs[1]
    a, b = (decode(images.path(name))[0][:, :, 0] for name in (pair.a, pair.b))
    assert b.shape == (80, 128)
    moved = cv2.warpPerspective(a, pair.homography, (128, 80))
    half_a_pixel = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shifted = cv2.warpPerspective(a, half_a_pixel @ pair.homography, (128, 80))
    inner = np.s_[15:-15, 20:-20]
    error, error_shifted = (np.abs(each - b)[inner].mean() for each in (moved, shifted))
    assert error < 0.02
    assert error < 0.5 * error_shifted


def test_copies_are_kept_until_their_image_changes(tmp_path: Path) -> None:
    write_png(np.full((20, 30), 0.5, np.float32), tmp_path / "data" / "a.png")
    images = ImageFolder.open(tmp_path / "data")
    copy = tmp_path / "out" / "a.png"
    resized_copies(images, {"a.png": (15, 10)}, tmp_path / "out", "area")
    first = copy.stat().st_mtime_ns
    resized_copies(images, {"a.png": (15, 10)}, tmp_path / "out", "area")
    assert copy.stat().st_mtime_ns == first
    resized_copies(images, {"a.png": (12, 10)}, tmp_path / "out", "area")
    assert decode(copy)[0].shape == (10, 12, 3)
    write_png(np.zeros((20, 30), np.float32), tmp_path / "data" / "a.png")
    resized_copies(images, {"a.png": (12, 10)}, tmp_path / "out", "area")
    assert decode(copy)[0].max() == 0


# ---------- pairs with a homography ----------


def write_evd(root: Path) -> None:
    for side in "12":
        (root / side).mkdir(parents=True)
        cv2.imwrite(str(root / side / "cafe.png"), texture())
    (root / "h").mkdir()
    np.savetxt(root / "h" / "cafe.txt", tilted(3))


def test_evd(tmp_path: Path) -> None:
    write_evd(tmp_path)
    (pair,) = read_pairs(tmp_path)
    assert (pair.a, pair.b, pair.size_a, pair.subset) == (
        "1/cafe.png",
        "2/cafe.png",
        SIZE,
        "overall",
    )
    np.testing.assert_allclose(pair.homography, tilted(3))


def test_only_sequences_that_are_left_out(tmp_path: Path) -> None:
    write_hpatches(tmp_path, ["v_talent"])
    with pytest.raises(DatasetError, match=r"only sequences that are left out here: v_talent\.$"):
        HPatchesFiles.read(tmp_path).without(D2NET_LEFT_OUT)


def test_images_that_are_paired_twice_are_matched_once(tmp_path: Path) -> None:
    def pair(a: str, b: str, subset: str) -> PlanarPair:
        return PlanarPair(a, b, np.eye(3), SIZE, SIZE, subset)

    pairs = [pair("a", "b", "one"), pair("b", "a", "two"), pair("a", "c", "two")]
    job = planar_job("original", ImageFolder(tmp_path, ("a", "b", "c")), pairs)
    assert job.pairs.pairs == (("a", "b"), ("a", "c"))


def test_a_table_says_what_size_a_method_saw() -> None:
    def pair(size_a: tuple[int, int], size_b: tuple[int, int]) -> PlanarPair:
        return PlanarPair("a", "b", np.eye(3), size_a, size_b, "overall")

    large, small = pair((1600, 1200), (1200, 1600)), pair((800, 600), (800, 600))
    assert shown_size([small], None) == "800x600"
    assert shown_size([small], 400) == "400x300"
    assert shown_size([large], None) == "long side 1600"
    assert shown_size([large, small], None) == "long side 800 to 1600"
    assert shown_size([large, small], 1024) == "long side 800 to 1024"


def test_evd_with_a_missing_image(tmp_path: Path) -> None:
    write_evd(tmp_path)
    (tmp_path / "2" / "cafe.png").unlink()
    with pytest.raises(DatasetError) as caught:
        read_pairs(tmp_path)
    fault = f"No image 2/cafe.* in {tmp_path}, which h/cafe.txt belongs to."
    assert str(caught.value) == fault


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    for name in ("a.png", "b b.png"):
        cv2.imwrite(str(tmp_path / name), texture())
    homography = tilted(2) / 3
    write_list(tmp_path, [PlanarPair("a.png", "b b.png", homography, SIZE, SIZE, "turn 030")])
    (pair,) = read_pairs(tmp_path)
    assert (pair.a, pair.b, pair.subset) == ("a.png", "b b.png", "turn 030")
    np.testing.assert_array_equal(pair.homography, homography)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            "s\ta.png\tb.png\t1",
            "expected subset, two images and 9 numbers, separated by tabs, got 4",
        ),
        ("s\ta.png\tc.png" + "\t1" * 9, "no image `c.png` in "),
        ("s\ta.png\ta.png" + "\t1" * 9, "`a.png` is paired with itself."),
        ("s\ta.png\tb.png" + "\t1" * 8 + "\tinf", "`inf` is not finite."),
        ("s\ta.png\tb.png" + "\t1" * 9, "the homography is singular: it maps the image to a line."),
    ],
)
def test_faulty_lines_of_a_list(tmp_path: Path, line: str, fault: str) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), texture())
    path = written(tmp_path / "homographies.txt", f"# pairs\n\n{line}\n")
    with pytest.raises(DatasetError) as caught:
        read_pairs(tmp_path)
    assert str(caught.value).startswith(f"{path}, line 3: {fault}")


def test_a_folder_of_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither homographies.txt nor folders 1, 2 and h"):
        read_pairs(tmp_path)
    (tmp_path / "h").mkdir()
    with pytest.raises(DatasetError, match="expected h/NAME.txt for each pair"):
        read_pairs(tmp_path)
    written(tmp_path / "homographies.txt", "# nothing\n")
    with pytest.raises(DatasetError, match="lists no pair"):
        read_pairs(tmp_path)

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from photo_files import write_photos

from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.training.albums import Album, Source
from silk_sfm.training.photos import Library, PhotoOptions


def test_sources_are_folders_and_lists_with_weights(tmp_path: Path) -> None:
    write_photos(tmp_path / "a" / "deep", 3)
    write_photos(tmp_path / "b", 2)
    (tmp_path / "list.txt").write_text("b/00.png\n\n  a/deep/01.png\n")
    listed = Source.parse(f"{tmp_path / 'list.txt'}=2.5")
    assert listed.weight == 2.5
    album = Album.of([Source.parse(str(tmp_path / "a")), listed])
    names = [path.relative_to(tmp_path).as_posix() for path in album.paths]
    assert names == ["a/deep/00.png", "a/deep/01.png", "a/deep/02.png", "b/00.png", "a/deep/01.png"]
    assert album.shares == (1 / 3, 1 / 3, 1 / 3, 1.25, 1.25)


def test_a_folder_with_an_equal_sign_in_its_name(tmp_path: Path) -> None:
    write_photos(tmp_path / "scale=2", 2)
    assert Source.parse(str(tmp_path / "scale=2")) == Source(tmp_path / "scale=2")


def test_where_a_training_is_written_is_no_source(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 2)
    write_photos(tmp_path / "photos" / "run" / "pictures", 3)
    album = Album.of([Source(tmp_path / "photos")], tmp_path / "photos" / "run")
    assert [path.name for path in album.paths] == ["00.png", "01.png"]
    assert len(Album.of([Source(tmp_path / "photos")], tmp_path / "elsewhere")) == 5


@pytest.mark.parametrize("weight", ["x", "0", "-1", "nan", "inf", ""])
def test_a_weight_is_a_number_above_zero(weight: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Source.parse(f"photos={weight}")
    assert str(caught.value) == (
        f"photos={weight}: `{weight}` is no weight. Write PATH=2.5, a number above 0."
    )


def test_lists_that_cannot_be_used(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("missing.png\nother.png\n")
    with pytest.raises(ImageError, match=r"lists 2 photos: 2 are missing, .*missing\.png first"):
        Source(listed).photos()
    listed.write_text("\n")
    with pytest.raises(ImageError, match="lists 0 photos: it is empty"):
        Source(listed).photos()
    listed.write_bytes(b"\xff\xfe\x00\xff")
    with pytest.raises(ImageError, match="no list of photos: a text file with a path a line"):
        Source(listed).photos()
    with pytest.raises(ImageError, match="No folder"):
        Source(tmp_path / "nowhere").photos()


def test_the_split_depends_on_names_alone(tmp_path: Path) -> None:
    write_photos(tmp_path, 20)
    album = Album.of([Source(tmp_path)])
    training, validation = album.split(0.2)
    assert len(training) == 16 and len(validation) == 4
    assert {*training.paths, *validation.paths} == set(album.paths)
    (tmp_path / "00.png").rename(tmp_path / "zz.png")
    _, moved = Album.of([Source(tmp_path)]).split(0.2)
    stayed = {path.name for path in validation.paths} & {path.name for path in moved.paths}
    assert len(stayed) >= 3
    with pytest.raises(ImageError, match="1 photo is too few"):
        Album((tmp_path / "zz.png",), (1.0,)).split(0.5)


def test_no_photo_is_on_both_sides_of_the_split(tmp_path: Path) -> None:
    write_photos(tmp_path / "a", 9)
    names = "".join(f"a/../a/{index:02d}.png\n" for index in range(9))
    (tmp_path / "list.txt").write_text(names)
    album = Album.of([Source(tmp_path / "a"), Source(tmp_path / "list.txt")])
    training, validation = album.split(1 / 9)
    assert len(training) == 16 and len(validation) == 2
    assert not {path.name for path in training.paths} & {path.name for path in validation.paths}
    twice = Album((tmp_path / "a" / "00.png",) * 2, (1.0, 1.0))
    with pytest.raises(ImageError, match="1 photo is too few"):
        twice.split(0.5)


def test_broken_photos_are_left_out_and_listed(tmp_path: Path) -> None:
    write_photos(tmp_path, 4)
    (tmp_path / "01.png").write_bytes(b"")
    (tmp_path / "02.png").write_bytes((tmp_path / "03.png").read_bytes()[:500])
    library = Library(Album.of([Source(tmp_path)]), PhotoOptions(), "cpu")
    stack, shares = library.stack(0)
    assert len(stack) == len(shares) == 2
    assert {path.name: one.reason[-40:] for path, one in library.unreadable.items()}.keys() == {
        "01.png",
        "02.png",
    }
    assert "is damaged" in library.unreadable[tmp_path / "02.png"].reason
    assert [path.name for path in library.readable] == ["00.png", "03.png"]


def test_nothing_but_broken_photos(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    library = Library(Album.of([Source(tmp_path)]), PhotoOptions(), "cpu")
    with pytest.raises(ImageError, match=r"None of 1 photos can be read; the first: .*a\.png"):
        library.stack(0)


def test_photos_are_upright_shrunk_and_kept_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels[:, :, ::-1])
    library = Library(Album.of([Source(tmp_path)]), PhotoOptions(), "cpu")
    stack, _ = library.stack(0)
    assert torch.equal(stack.pixels[: 40 * 60].reshape(40, 60, 3), torch.from_numpy(pixels))
    assert stack.sizes[0].tolist() == [[60, 40], [30, 20], [15, 10]]
    small = Library(Album.of([Source(tmp_path)]), PhotoOptions(max_side=30), "cpu").stack(0)[0]
    assert small.sizes[0, 0].tolist() == [30, 20]


def test_what_does_not_fit_comes_in_samples(tmp_path: Path) -> None:
    write_photos(tmp_path / "a", 12, (64, 64))
    write_photos(tmp_path / "b", 12, (64, 64), 100)
    sources = [Source(tmp_path / "a"), Source(tmp_path / "b", 3)]
    a_photo = 64 * 64 * 3 * 1.3125
    options = PhotoOptions(memory_gb=8.5 * a_photo / 1e9)
    library = Library(Album.of(sources), options, "cpu", seed=5)
    stacks = [library.stack(epoch)[0] for epoch in range(40)]
    assert {len(stack) for stack in stacks} == {4}  # beside the four of the next epoch
    again = Library(Album.of(sources), options, "cpu", seed=5)
    assert torch.equal(again.stack(7)[0].pixels, stacks[7].pixels)  # a resume sees the same
    assert not torch.equal(stacks[0].pixels, stacks[1].pixels)
    assert library.stack(3)[1].tolist() == [1, 1, 1, 1]
    b_photos = {bytes(read(path)) for path in (tmp_path / "b").iterdir()}
    drawn = [
        bytes(stack.pixels[start : start + 64 * 64].numpy())
        for stack in stacks
        for start in stack.starts[:, 0].tolist()
    ]
    share = np.mean([one in b_photos for one in drawn])
    assert 0.6 < share < 0.85  # three times as often, without replacement


def test_each_sample_is_read_once_and_the_next_one_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path, 8, (64, 64))
    loaded: list[int] = []
    load = Library._load

    def counted(library: Library, sample: int, device: str) -> object:
        loaded.append(sample)
        return load(library, sample, device)

    monkeypatch.setattr(Library, "_load", counted)
    album = Album.of([Source(tmp_path)])
    options = PhotoOptions(memory_gb=4 * 64 * 64 * 4 / 1e9)
    library = Library(album, options, "cpu")
    for iteration in range(60):
        library.stack(iteration // 20)
    library._reader.shutdown()
    assert loaded == [0, 1, 2, 3]
    loaded.clear()
    always_the_first = Library(album, options, "cpu", ahead=False)
    for _ in range(3):
        always_the_first.stack(0)
    assert loaded == [0]


def test_a_photo_that_is_listed_twice_takes_memory_twice(tmp_path: Path) -> None:
    write_photos(tmp_path, 2, (64, 64))
    a_photo = 64 * 64 * 3 * 1.3125
    options = PhotoOptions(memory_gb=2.5 * a_photo / 1e9)
    album = Album.of([Source(tmp_path)])
    assert Library(album, options, "cpu").fits
    assert not Library(Album(album.paths * 2, album.shares * 2), options, "cpu").fits


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(os.fspath(path))[:, :, ::-1].copy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_side": -1}, "max-side must be at least 0 px, got -1."),
        ({"validation_share": 1.0}, "validation-share must be above 0 and below 1, got 1.0."),
        ({"memory_gb": 0.0}, "memory-gb must be above 0, got 0.0."),
    ],
)
def test_photo_options_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PhotoOptions(**options)  # type: ignore[arg-type]
    assert str(caught.value) == message

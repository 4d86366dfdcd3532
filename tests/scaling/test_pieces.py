"""Pieces that other processes made are taken over whole, once, and only where they belong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from whole_stores import assert_same, everything

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance, pack, packing
from silk_sfm.store.pieces import Piece, current_generation, pieces_of, taken_apart
from silk_sfm.store.shard_files import is_packed, shards_of

MADE = Provenance("orb", {"top_k": 7}, {})
NAMES = ("a.png", "b/c.png", "d.png", "e.png", "f.png")


def features(name: str) -> LocalFeatures:
    rng = np.random.default_rng(len(name) + ord(name[0]))
    xy, scores = rng.random((4, 2), np.float32), rng.random(4, np.float32)
    return LocalFeatures(xy, scores, rng.random((4, 8), np.float32), (640, 480))


def fill(store: FeatureWriter, *names: str, one_shard_each: bool = False) -> None:
    for name in names:
        store.add(name, features(name))
        if one_shard_each:
            store._save()


def write_piece(path: Path, name: str, *names: str, generation: int = 0) -> Piece:
    """A piece with a shard for each image."""
    piece = Piece(path, name, generation, flush_seconds=60.0)
    with FeatureWriter(path, MADE, piece=piece) as store:
        fill(store, *names, one_shard_each=True)
    return piece


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The store that one process writes."""
    path = tmp_path / "whole.h5"
    with FeatureWriter(path, MADE) as store:
        fill(store, *NAMES)
    return path


def test_the_next_writer_takes_over_all_pieces(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_piece(path, "one", *NAMES[:2])
    write_piece(path, "two", *NAMES[2:4])
    with FeatureWriter(path, MADE) as store:
        assert [name in store for name in NAMES] == [True, True, True, True, False]
        fill(store, NAMES[4])
    assert_same(path, whole)
    assert len(shards_of(path)) == 5


def test_a_piece_is_a_store(tmp_path: Path) -> None:
    piece = write_piece(tmp_path / "f.h5", "one", *NAMES)
    with FeatureStore(piece.path) as store:
        assert store.names == sorted(NAMES)
    assert piece.path == tmp_path / "f.h5.shards" / "pieces" / "one.h5"


def test_adopted_while_writing(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with FeatureWriter(path, MADE) as store:
        fill(store, NAMES[0])
        store.adopt(write_piece(path, "one", *NAMES[1:3]).path)
        assert NAMES[1] in store
        with pytest.raises(StoreError, match="already holds `b/c.png`"):
            fill(store, NAMES[1])
        fill(store, *NAMES[3:])
        store.adopt(write_piece(path, "nothing").path)
    assert_same(path, whole)


def test_work_that_was_done_twice_is_there_once(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_piece(path, "block-1", *NAMES[:3])
    write_piece(path, "block-2", *NAMES[1:])
    with FeatureWriter(path, MADE):
        pass
    assert_same(path, whole)


def test_a_shard_with_anything_known_is_left_out_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    piece = Piece(path, "one", 0, flush_seconds=60.0)
    with FeatureWriter(path, MADE, piece=piece) as store:
        fill(store, *NAMES[1:3])  # one shard
    with FeatureWriter(path, MADE, piece=Piece(path, "a", 0, 60.0)) as store:
        fill(store, *NAMES[:2])
    with FeatureWriter(path, MADE) as store:
        assert [name in store for name in NAMES[:3]] == [True, True, False]
    assert pieces_of(path) == []


def test_a_killed_taking_over_loses_nothing(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    piece = write_piece(path, "one", *NAMES)
    folder = tmp_path / "f.h5.shards"
    with pytest.raises(KeyboardInterrupt), taken_apart(piece.path) as shards:
        for number, shard in enumerate(shards[:2], 1):  # a writer moved them, then it was killed
            shard.rename(folder / f"{number:06d}.h5")
        raise KeyboardInterrupt
    write_piece(path, "one")  # the process that made it goes on with it
    with FeatureWriter(path, MADE):
        pass
    assert_same(path, whole)


def test_pieces_of_other_settings_are_refused_and_kept(tmp_path: Path) -> None:
    path, other = tmp_path / "f.h5", Provenance("orb", {"top_k": 8}, {})
    write_piece(path, "one", *NAMES)
    with pytest.raises(StoreError) as caught:
        FeatureWriter(path, other)
    assert str(caught.value) == (
        f"{path} was made with other settings (top_k: made with 7, now 8). "
        "Use those, choose another file, or --overwrite to start anew."
    )
    assert not path.exists()
    assert len(pieces_of(path)) == 1
    with FeatureWriter(path, other, overwrite=True) as store:
        assert NAMES[0] not in store
        assert pieces_of(path) == []


def test_pieces_from_before_a_new_start_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    for overwrite in (False, True):
        with FeatureWriter(path, MADE, overwrite) as store:
            fill(store, NAMES[0])
    assert current_generation(path) == 1
    write_piece(path, "late", NAMES[1], generation=0)
    write_piece(path, "new", NAMES[2], generation=1)
    with FeatureWriter(path, MADE) as store:
        assert [name in store for name in NAMES[:3]] == [True, False, True]
    assert pieces_of(path) == []
    assert {value for key, value in everything(path).items() if key == "/@generation"} == {
        (np.dtype(np.int64), (), np.int64(1).tobytes())
    }


def test_a_piece_from_before_a_new_start_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_piece(path, "share", NAMES[0], generation=0)
    write_piece(path, "share", NAMES[1], generation=1)
    assert [len(shards_of(piece)) for piece in pieces_of(path)] == [1]


def test_a_piece_that_failed_before_its_first_result_keeps_its_generation(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_piece(path, "share")
    write_piece(path, "share", NAMES[0])
    with FeatureWriter(path, MADE) as store:
        assert NAMES[0] in store


def test_a_piece_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    piece, refusal = (
        Piece(path, "one", 0, 60.0),
        r"one\.h5 is being written by process \d+ on .*Wait",
    )
    with FeatureWriter(path, MADE, piece=piece), pytest.raises(StoreError, match=refusal):
        FeatureWriter(path, MADE)
    with FeatureWriter(path, MADE) as store:
        assert pieces_of(path) == []
        assert NAMES[0] not in store


def test_a_refused_new_start_leaves_the_store_as_it_was(whole: Path) -> None:
    before = everything(whole)
    with FeatureWriter(whole, MADE, piece=Piece(whole, "one", 0, 60.0)):
        with pytest.raises(StoreError, match="is being written by"):
            FeatureWriter(whole, MADE, overwrite=True)
        assert everything(whole) == before


def test_a_killed_new_start_is_a_new_start(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("silk_sfm.store.shards.shards_of", killed)
        with pytest.raises(KeyboardInterrupt):
            FeatureWriter(whole, MADE, overwrite=True)
    assert len(shards_of(whole)) == 1
    shutil.copytree(tmp_path, tmp_path / "copy")
    pack(tmp_path / "copy" / whole.name)
    assert not any("a.png" in key for key in everything(tmp_path / "copy" / whole.name))
    with FeatureWriter(whole, MADE) as store:
        assert store.generation == 1
        assert not any(name in store for name in NAMES)
    assert shards_of(whole) == []


@pytest.mark.parametrize("damaged", [False, True])
def test_a_new_start_counts_on_without_the_index(whole: Path, damaged: bool) -> None:
    with FeatureWriter(whole, MADE, overwrite=True) as store:
        fill(store, NAMES[0])
    whole.unlink()
    if damaged:
        whole.write_bytes(b"no HDF5")
    with FeatureWriter(whole, MADE, overwrite=True) as store:
        assert store.generation == 2
        assert NAMES[0] not in store


def test_a_damaged_piece_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    piece = write_piece(path, "one", *NAMES[:2])
    shards_of(piece.path)[0].write_bytes(b"no HDF5")
    with pytest.raises(StoreError, match=r"one\.h5\.shards/000001\.h5 is damaged or no HDF5 file"):
        FeatureWriter(path, MADE)
    assert len(shards_of(piece.path)) == 2


def test_pieces_alone_keep_their_generation(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_piece(path, "share", *NAMES[:2], generation=3)
    assert current_generation(path) == 3
    with FeatureWriter(path, MADE) as store:
        assert store.generation == 3
        assert NAMES[0] in store


def test_late_pieces_of_other_settings_from_before_a_new_start_go(tmp_path: Path) -> None:
    path, other = tmp_path / "f.h5", Provenance("orb", {"top_k": 8}, {})
    for overwrite in (False, True):
        with FeatureWriter(path, other, overwrite) as store:
            fill(store, NAMES[0])
    write_piece(path, "late", NAMES[1], generation=0)  # of MADE
    with FeatureWriter(path, other) as store:
        assert [name in store for name in NAMES[:2]] == [True, False]
    assert pieces_of(path) == []


def test_pack_asks_for_the_pieces_first(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with FeatureWriter(path, MADE) as store:
        fill(store, NAMES[0])
    write_piece(path, "one", NAMES[1])
    with pytest.raises(StoreError) as caught:
        pack(path)
    assert str(caught.value) == (
        f"Other processes made 1 pieces of {path} that it does not hold yet. "
        "Run the command that made them once more without --share, then pack."
    )
    with FeatureWriter(path, MADE):
        pass
    pack(path)
    write_piece(path, "late", NAMES[2])
    with FeatureWriter(path, MADE) as store:  # a packed store takes pieces, too
        assert [name in store for name in NAMES[:4]] == [True, True, True, False]


def test_a_piece_begun_while_packing_stays(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = packing._merge_shards
    late = NAMES[0] + "x"

    def slow_merge(path: Path, target: Path) -> None:
        write_piece(path, "late", late)
        merge(path, target)

    monkeypatch.setattr(packing, "_merge_shards", slow_merge)
    pack(whole)
    assert is_packed(whole)
    assert shards_of(whole) == []
    with FeatureWriter(whole, MADE) as store:
        assert [name in store for name in (*NAMES, late)] == [True] * 6


def test_pieces_wait_for_their_time_before_they_write(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    for seconds, n_shards in ((0.0, 2), (60.0, 1)):
        piece = Piece(path, f"after {seconds}", 0, seconds)
        with FeatureWriter(path, MADE, piece=piece) as store:
            for name in NAMES[:2]:
                fill(store, name)
                store.flush()  # what `WriteBehind` does in a pause
        assert len(shards_of(piece.path)) == n_shards

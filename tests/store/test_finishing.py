"""Shards go to disk in the background: nothing is lost, failures are told, memory is bounded."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance, finishing, shards
from silk_sfm.store.finishing import FileInWriting
from silk_sfm.store.shard_files import shards_of

MADE = Provenance("silk", {}, {})


def features(n: int = 50) -> LocalFeatures:
    ones = np.ones((n, 2), np.float32)
    return LocalFeatures(ones, ones[:, 0], np.ones((n, 128), np.float32), (9, 9))


def test_a_file_is_written_by_a_thread_or_by_who_waits(tmp_path: Path) -> None:
    for name, starts in (("started", True), ("not started", False)):
        writing = FileInWriting(tmp_path / name, b"content")
        if starts:
            writing.start()
        writing.wait()
        assert (tmp_path / name).read_bytes() == b"content"


def test_a_failure_is_raised_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    writing = FileInWriting(tmp_path / "folder" / "file", b"content")
    writing.start()
    with pytest.raises(StoreError, match="Cannot write"):
        writing.wait()
    (tmp_path / "folder").unlink()
    writing.wait()
    assert (tmp_path / "folder" / "file").read_bytes() == b"content"


def test_adding_goes_on_while_a_shard_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, write = threading.Event(), finishing.write_whole

    def write_slowly(path: Path, content: bytes) -> None:
        assert may_end.wait(30)
        write(path, content)

    monkeypatch.setattr(finishing, "write_whole", write_slowly)
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    path = tmp_path / "f.h5"
    with FeatureWriter(path, MADE) as store:
        store.add("a.jpg", features())  # its shard is in writing now
        monkeypatch.setattr(shards, "SHARD_BYTES", 2**24)
        store.add("b.jpg", features())
        assert shards_of(path) == []
        may_end.set()
        store.flush()
        assert len(shards_of(path)) == 2
    with FeatureStore(path) as read:
        assert read.names == ["a.jpg", "b.jpg"]


def test_large_shards_are_written_before_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 4 * 2**20)
    monkeypatch.setattr(shards, "FLUSH_SECONDS", 1e9)
    path = tmp_path / "f.h5"
    with FeatureWriter(path, MADE) as store:
        for index in range(40):
            store.add(f"{index}.jpg", features(1000))  # 0.27 MB each
    sizes = [shard.stat().st_size for shard in shards_of(path)]
    assert len(sizes) >= 2
    assert max(sizes) < 6 * 2**20
    with FeatureStore(path) as read:
        assert len(read) == 40
        np.testing.assert_array_equal(read["39.jpg"].keypoints, features(1000).keypoints)


def test_a_full_disk_is_told_once_and_what_was_finished_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "f.h5", finishing.write_whole
    store = FeatureWriter(path, MADE)
    store.add("a.jpg", features())
    store.flush()

    def refuse(path: Path, content: bytes) -> None:
        raise StoreError("The disk is full")

    monkeypatch.setattr(finishing, "write_whole", refuse)
    store.add("b.jpg", features())
    with pytest.raises(StoreError, match="The disk is full"):
        store.flush()
    with FeatureStore(path) as read:
        assert read.names in ([], ["a.jpg"])
    monkeypatch.setattr(finishing, "write_whole", write)
    store.add("c.jpg", features())
    store.close()  # there is room again: nothing is lost
    with FeatureStore(path) as read:
        assert read.names == ["a.jpg", "b.jpg", "c.jpg"]


def test_ctrl_c_between_two_links_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = FeatureWriter._link
    linked: list[str] = []

    def interrupted(store: FeatureWriter, index: Any, key: str, shard: str, entry: Any) -> None:
        if len(linked) == 1:
            linked.append("")
            raise KeyboardInterrupt
        link(store, index, key, shard, entry)
        linked.append(key)

    monkeypatch.setattr(FeatureWriter, "_link", interrupted)
    path, names = tmp_path / "f.h5", ["a.jpg", "b.jpg", "c.jpg"]
    store = FeatureWriter(path, MADE)
    for name in names:
        store.add(name, features())
    with pytest.raises(KeyboardInterrupt):
        store.close()
    assert linked == ["a.jpg", ""]
    with FeatureWriter(path, MADE) as store:
        assert all(name in store for name in names)
    with FeatureStore(path) as read:
        assert read.names == names


@pytest.mark.parametrize("at", ["wait", "_write_index", "_add_links"])
def test_ctrl_c_while_a_shard_is_finished_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Interrupted right after the work was done, before it was noted; then closed as usual."""
    owner: type = FileInWriting if at == "wait" else FeatureWriter
    undisturbed = getattr(owner, at)

    def interrupted(*arguments: object) -> None:
        undisturbed(*arguments)
        monkeypatch.setattr(owner, at, undisturbed)
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "FLUSH_SECONDS", 0.0)
    path = tmp_path / "f.h5"
    with pytest.raises(KeyboardInterrupt), FeatureWriter(path, MADE) as store:
        store.add("a.jpg", features())
        monkeypatch.setattr(owner, at, interrupted)
        for name in ("b.jpg", "c.jpg"):
            store.add(name, features())
            store.flush()
    with FeatureStore(path) as read:
        assert "a.jpg" in read
        assert "b.jpg" in read
        for name in read.names:
            assert len(read[name]) == 50
    with FeatureWriter(path, MADE) as store:
        assert "b.jpg" in store
        store.add("d.jpg", features())
    with FeatureStore(path) as read:
        assert {"a.jpg", "b.jpg", "d.jpg"} <= set(read.names)

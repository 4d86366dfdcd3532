"""Two writers, dead writers, full disks, read-only folders, Ctrl-C: in real processes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import finish, start
from small_photos import write_small_photos, write_small_weights

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures
from silk_sfm.store import FeatureStore, FeatureWriter, Provenance

MADE = Provenance("silk", {}, {})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and weights."""
    root = tmp_path_factory.mktemp("inputs")
    write_small_photos(root / "photos", 30)
    write_small_weights(root / "micro.safetensors")
    return root


def extract(inputs: Path, store: Path) -> list[str]:
    weights = ["--weights", str(inputs / "micro.safetensors"), "--top-k", "300"]
    return ["extract", str(inputs / "photos"), str(store), "--device", "cpu", *weights]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_second_writer_is_told_who_writes(inputs: Path, tmp_path: Path) -> None:
    path, log = tmp_path / "f.h5", tmp_path / "log"
    with FeatureWriter(path, MADE):
        assert finish(extract(inputs, path), log) == 1
    message = log.read_text()
    assert f"{path} is being written by process {os.getpid()} on {os.uname().nodename} since 2" in (
        message
    )
    assert "Wait until it is done, or stop it." in message


def test_second_writer_in_the_same_process(tmp_path: Path) -> None:
    with FeatureWriter(tmp_path / "f.h5", MADE), pytest.raises(StoreError, match="being written"):
        FeatureWriter(tmp_path / "f.h5", MADE)
    FeatureWriter(tmp_path / "f.h5", MADE).close()


def test_lock_of_a_dead_process_is_taken_over(inputs: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    process = start(extract(inputs, path), flush_seconds=0.0)
    holder = tmp_path / "f.h5.shards" / "writer.json"
    while process.is_alive() and not holder.exists():
        process.join(timeout=0.01)
    process.kill()
    process.join()
    assert holder.exists()  # the dead process could not remove it
    assert finish(extract(inputs, path)) == 0
    with FeatureStore(path) as store:
        assert len(store) == 30
    assert not holder.exists()


def test_full_disk(inputs: Path, tmp_path: Path, small_disk: Path) -> None:
    path, log = small_disk / "f.h5", tmp_path / "log"
    assert finish(extract(inputs, path), log) == 1
    assert "No space left on device. The disk is full: free some space and run the same" in (
        log.read_text()
    )
    with FeatureStore(path) as store:
        kept = store.names
    assert not list(small_disk.rglob("*.part"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert finish(extract(inputs, path), log) == 0
    with FeatureStore(path) as store:
        assert set(kept) <= set(store.names)
        assert len(store) == 30


def test_full_disk_keeps_what_was_finished(small_disk: Path) -> None:
    path = small_disk / "f.h5"
    written = 0
    with pytest.raises(StoreError, match="The disk is full"), FeatureWriter(path, MADE) as store:
        for index in range(100):
            store.add(f"{index}.jpg", random_features(index))
            store.flush()
            written = index + 1
    assert 2 <= written < 100
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    with FeatureWriter(path, MADE) as store:
        assert [f"{index}.jpg" in store for index in range(written + 1)] == [True] * written + [
            False
        ]
    with FeatureStore(path) as read:
        assert len(read) == written


def random_features(seed: int) -> LocalFeatures:
    rng = np.random.default_rng(seed)
    return LocalFeatures(
        rng.uniform(size=(100, 2)).astype(np.float32),
        rng.uniform(size=100).astype(np.float32),
        rng.uniform(size=(100, 64)).astype(np.float32),
        (100, 100),
    )


def test_read_only_folder(inputs: Path, tmp_path: Path, small_disk: Path) -> None:
    log = tmp_path / "log"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert finish(extract(inputs, small_disk / "f.h5"), log) == 1
    assert "Read-only file system. The folder is not writable: choose another one" in (
        log.read_text()
    )


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    path, log = tmp_path / "f.h5", tmp_path / "log"
    write_small_photos(tmp_path / "photos", 150)  # enough to be still at work
    write_small_weights(tmp_path / "micro.safetensors")
    process = start(extract(tmp_path, path), log, flush_seconds=0.0)
    shards = tmp_path / "f.h5.shards"
    while process.is_alive() and not (shards / "000001.h5").exists():
        process.join(timeout=0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    assert "silk-sfm extract: interrupted. What was finished is kept; run the same" in (
        log.read_text()
    )
    with FeatureStore(path) as store:
        kept = len(store)
    assert 1 <= kept < 150
    assert finish(extract(tmp_path, path), log) == 0
    assert f"extract: 150 images, {kept} of them reused" in log.read_text()
    with h5py.File(path, "r") as file:
        assert len(file) == 150

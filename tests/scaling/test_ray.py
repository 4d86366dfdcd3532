"""Stages on a Ray cluster of several nodes on this machine, some of which are killed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from signal import SIGINT, SIGKILL
from types import ModuleType
from typing import Any

import psutil
import pytest
from commands import finish, start
from small_photos import write_small_photos, write_small_weights
from stage_commands import STORES, stage_command, write_stores
from whole_stores import assert_same

from silk_sfm.cli import main
from silk_sfm.errors import ConfigError
from silk_sfm.store.pieces import pieces_of
from silk_sfm.store.shard_files import shards_of

N_IMAGES = 40
MOMENT = 0.005


class TwoNodes:
    """A cluster with a head that does no work and two nodes of one core each."""

    def __init__(self) -> None:
        cluster_utils = pytest.importorskip("ray.cluster_utils")
        self._cluster: Any = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self.address = str(self._cluster.address)
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(2)]

    def kill_node(self) -> None:
        """SIGKILL to the raylet of a node and to all its workers, as when it loses power."""
        node = self._nodes.pop()
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in [*raylet.children(recursive=True), raylet]:
            process.kill()
        self._cluster.remove_node(node, allow_graceful=False)

    def mend(self) -> None:
        """Two nodes again."""
        while len(self._nodes) < 2:
            self._nodes.append(self._cluster.add_node(num_cpus=1))
        self._cluster.wait_for_nodes()

    def close(self) -> None:
        """Stop all of it."""
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def all_nodes() -> Iterator[TwoNodes]:
    cluster = TwoNodes()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(all_nodes: TwoNodes) -> TwoNodes:
    """The cluster with both of its nodes alive."""
    all_nodes.mend()
    return all_nodes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, pairs, and the stores of one process."""
    root = tmp_path_factory.mktemp("undisturbed")
    write_stores(root, N_IMAGES)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_the_same_as_on_one_machine(
    cluster: TwoNodes, undisturbed: Path, tmp_path: Path, store: str
) -> None:
    log = tmp_path / "log.txt"
    command = stage_command(undisturbed, tmp_path, store)
    assert finish([*command, "--ray", cluster.address], log) == 0, log.read_text()
    assert_same(tmp_path / store, undisturbed / store)
    assert len(shards_of(tmp_path / store)) == 8  # four blocks for each worker
    assert finish(command, log) == 0
    first, last = log.read_text().splitlines()
    assert last.endswith(f"of them reused -> {tmp_path / store}")
    assert first.split(",")[0] == last.split(",")[0]


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES[:2])
def test_a_node_is_killed(cluster: TwoNodes, undisturbed: Path, tmp_path: Path, store: str) -> None:
    command = stage_command(undisturbed, tmp_path, store)
    block = "1" if store == "features.h5" else "20"
    path, log = tmp_path / store, tmp_path / "log.txt"
    process = start([*command, "--ray", cluster.address, "--ray-block", block], log)
    while process.is_alive() and len(shards_of(path)) < 5:
        process.join(timeout=MOMENT)
    cluster.kill_node()
    n_at_the_kill = len(shards_of(path))
    process.join()
    assert process.exitcode == 0, log.read_text()
    n_blocks = len(shards_of(path))
    assert n_at_the_kill < n_blocks  # it was in the middle of the work
    assert n_blocks == (N_IMAGES if store == "features.h5" else N_IMAGES * (N_IMAGES - 1) / 2 / 20)
    assert_same(path, undisturbed / store)


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "status"), [(SIGKILL, -SIGKILL), (SIGINT, 130)])
def test_a_plain_run_goes_on_after_a_stopped_one(
    cluster: TwoNodes, undisturbed: Path, tmp_path: Path, stop: int, status: int
) -> None:
    path, log = tmp_path / "features.h5", tmp_path / "log.txt"
    command = stage_command(undisturbed, tmp_path, "features.h5")
    process = start([*command, "--ray", cluster.address, "--ray-block", "2"])
    while process.is_alive() and len(shards_of(path)) < 3:
        process.join(timeout=MOMENT)
    os.kill(process.pid or 0, stop)
    process.join()
    assert process.exitcode == status
    while finish(command, log) == 1:  # its workers end a moment after it
        assert "is being written by process" in log.read_text()
    assert "of them reused" in log.read_text()
    assert_same(path, undisturbed / "features.h5")


@pytest.mark.slow
def test_it_goes_on_after_a_plain_run(cluster: TwoNodes, undisturbed: Path, tmp_path: Path) -> None:
    path, log = tmp_path / "features.h5", tmp_path / "log.txt"
    command = stage_command(undisturbed, tmp_path, "features.h5")
    assert finish([*command, "--share", "1/2"]) == 0
    (tmp_path / "log.txt").write_text("")
    assert finish([*command, "--ray", cluster.address, "--ray-workers", "1"], log) == 0
    assert f"extract: {N_IMAGES} images, {N_IMAGES // 2} of them reused" in log.read_text()
    assert_same(path, undisturbed / "features.h5")


@pytest.mark.slow
def test_silk_with_bad_photos(cluster: TwoNodes, tmp_path: Path) -> None:
    write_small_photos(tmp_path / "photos", 6)
    write_small_weights(tmp_path / "micro.safetensors")
    (tmp_path / "photos" / "002a.png").write_bytes(b"")
    (tmp_path / "photos" / "004a.jpg").write_text("no image")
    outputs = []
    on_ray = ("--ray", cluster.address, "--ray-block", "3")
    for name, flags in (("plain.h5", ()), ("ray.h5", on_ray)):
        log = tmp_path / f"{name}.txt"
        weights = ["--weights", str(tmp_path / "micro.safetensors"), "--top-k", "100"]
        command = ["extract", str(tmp_path / "photos"), str(tmp_path / name), *weights, *flags]
        assert finish(command, log) == 3
        outputs.append([line for line in log.read_text().splitlines() if "skipped" in line])
    assert_same(tmp_path / "plain.h5", tmp_path / "ray.h5")
    assert [line.partition(" ->")[0] for line in outputs[0]] == [
        line.partition(" ->")[0] for line in outputs[1]
    ]
    assert [line.split(":")[0] for line in outputs[1][1:]] == [
        "skipped 002a.png",
        "skipped 004a.jpg",
    ]


@pytest.mark.slow
def test_what_a_worker_cannot_do_is_one_line(
    cluster: TwoNodes, undisturbed: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    command = stage_command(undisturbed, tmp_path, "features.h5")
    status = finish([*command, "--ray", cluster.address, "--ray-cpus", "3"], log)
    error = "No node of the Ray cluster has 3 cores for a worker."
    assert (status, log.read_text()) == (1, f"silk-sfm extract: error: {error}\n")
    log.unlink()
    shards = "features.h5.shards"
    shutil.copytree(undisturbed / shards, tmp_path / shards, dirs_exist_ok=True)
    for name in ("features.h5", "pairs.txt"):
        shutil.copy(undisturbed / name, tmp_path)
    lost = shards_of(tmp_path / "features.h5")[-1]
    lost.unlink()
    command = stage_command(tmp_path, tmp_path, "matches.h5")
    assert finish([*command, "--ray", cluster.address], log) == 1
    assert log.read_text().splitlines()[-1] == (
        f"silk-sfm match: error: No file {lost}. Was it moved, or the stage before not run?"
    )


NODES = [
    {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 4.0}},
    {"Alive": True, "Resources": {"CPU": 7.0, "GPU": 4.0}},
    {"Alive": True, "Resources": {"CPU": 9.0}},
    {"Alive": True, "Resources": {"memory": 1e9}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]


@pytest.mark.parametrize(
    ("device", "n_cpus", "expected"),
    [
        ("auto", 2, (7, 2, 1, "cuda")),  # 4 + 3 of the 4 GPUs, for the second node has 7 cores
        ("cuda:1", 1, (8, 1, 1, "cuda")),
        ("cpu", 2, (15, 2, 0, "cpu")),
        ("mps", 8, (3, 8, 0, "mps")),
        ("auto", 16, (1, 16, 1, "cuda")),
    ],
)
def test_workers_that_fit(
    monkeypatch: pytest.MonkeyPatch, device: str, n_cpus: int, expected: tuple[int, int, int, str]
) -> None:
    cluster = pytest.importorskip("silk_sfm.scaling.cluster")
    monkeypatch.setattr(cluster.ray, "nodes", lambda: NODES)
    assert dataclasses.astuple(cluster.slots(device, n_cpus)) == expected


@pytest.mark.parametrize(
    ("device", "n_cpus", "nodes", "message"),
    [
        ("cpu", 17, NODES, "No node of the Ray cluster has 17 cores for a worker."),
        ("auto", 1, NODES[3:], "No node of the Ray cluster has 1 cores for a worker."),
        ("cuda", 1, NODES[2:], "No node of the Ray cluster has a GPU and 1 cores beside it."),
    ],
)
def test_workers_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    n_cpus: int,
    nodes: list[dict[str, Any]],
    message: str,
) -> None:
    cluster = pytest.importorskip("silk_sfm.scaling.cluster")
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    with pytest.raises(ConfigError) as caught:
        cluster.slots(device, n_cpus)
    assert str(caught.value) == message


def test_wrong_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        write_small_photos(tmp_path / "photos", 1)
        command = stage_command(tmp_path, tmp_path, "features.h5")
        for wrong, why in ((address, "[Errno 111] Connection refused"), ("here", "invalid lit")):
            assert main([*command, "--ray", wrong]) == 1
            error = capsys.readouterr().err
            assert error.startswith(f"silk-sfm extract: error: No Ray cluster at `{wrong}` ({why}")
            assert error.endswith("and run this on a node of the cluster.\n")


class HidesRay:
    """Finds every module but Ray."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As if Ray were not installed."""
        if name == "ray":
            return None
        found = (finder.find_spec(name, path, target) for finder in FINDERS)
        return next((spec for spec in found if spec is not None), None)

    def find_distributions(self, *context: Any) -> Iterator[Any]:
        """Of the entry points."""
        for finder in FINDERS:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*context)


FINDERS = list(sys.meta_path)


def test_ray_is_missing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_small_photos(tmp_path / "photos", 1)
    monkeypatch.setattr(sys, "meta_path", [HidesRay()])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    assert main([*stage_command(tmp_path, tmp_path, "features.h5"), "--ray"]) == 1
    assert capsys.readouterr().err == (
        "silk-sfm extract: error: --ray needs Ray, on every node: pip install 'silk-sfm[ray]', or "
        "leave out --ray.\n"
    )
    assert pieces_of(tmp_path / "features.h5") == []

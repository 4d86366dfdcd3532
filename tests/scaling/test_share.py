"""Shares of a stage by the tasks of an array job, joined by a last run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import finish, start
from stage_commands import STORES, stage_command, write_stores
from whole_stores import assert_same

from silk_sfm.cli import main
from silk_sfm.errors import ConfigError
from silk_sfm.scaling.share import Share
from silk_sfm.store import FeatureStore
from silk_sfm.store.pieces import pieces_of
from silk_sfm.store.shard_files import shards_of

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm_array.sh"
N_IMAGES = 10
N_TASKS = 2


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, pairs, and the stores of one process."""
    root = tmp_path_factory.mktemp("undisturbed")
    write_stores(root, N_IMAGES)
    return root


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "1/0", "a/b", "-1/2", "1/2/3", "1 / 2"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Share.parse(text)
    assert str(caught.value) == f"A share is I/N with I from 1 to N, like 3/8; got `{text}`."


def test_a_share() -> None:
    assert Share.parse("3/8") == Share(3, 8)


@pytest.mark.parametrize("store", STORES)
def test_shares_of_every_stage(undisturbed: Path, tmp_path: Path, store: str) -> None:
    command = stage_command(undisturbed, tmp_path, store)
    log = tmp_path / "log.txt"
    for number in range(1, N_TASKS + 1):
        assert finish([*command, "--share", f"{number}/{N_TASKS}"], log) == 0
    assert not (tmp_path / store).exists()
    assert len(pieces_of(tmp_path / store)) == N_TASKS
    assert finish(command, log) == 0
    n_items = N_IMAGES if store == "features.h5" else N_IMAGES * (N_IMAGES - 1) // 2
    assert f"{n_items} of them reused" in log.read_text().splitlines()[-1]
    assert_same(tmp_path / store, undisturbed / store)


def test_the_last_run_does_what_no_task_did(undisturbed: Path, tmp_path: Path) -> None:
    command = stage_command(undisturbed, tmp_path, "features.h5")
    assert finish([*command, "--share", "2/4"]) == 0
    log = tmp_path / "log.txt"
    assert finish(command, log) == 0
    assert "extract: 10 images, 3 of them reused" in log.read_text()
    assert_same(tmp_path / "features.h5", undisturbed / "features.h5")


def test_a_share_leaves_out_what_the_store_holds(undisturbed: Path, tmp_path: Path) -> None:
    command = stage_command(undisturbed, tmp_path, "matches.h5")
    log = tmp_path / "log.txt"
    assert finish(command) == 0
    assert finish([*command, "--share", "1/2"], log) == 0
    assert log.read_text().startswith("match: 24 pairs, 24 of them reused ->")


def test_a_share_again(undisturbed: Path, tmp_path: Path) -> None:
    command = [*stage_command(undisturbed, tmp_path, "features.h5"), "--share", "1/1"]
    log = tmp_path / "log.txt"
    for _ in range(2):
        assert finish(command, log) == 0
    assert "10 of them reused" in log.read_text().splitlines()[-1]


def test_a_killed_task_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "features.h5"
    command = stage_command(undisturbed, tmp_path, "features.h5")
    process = start([*command, "--share", "1/1"])
    while process.is_alive() and not pieces_of(store):
        process.join(timeout=0.005)
    process.kill()
    process.join()
    assert finish([*command, "--share", "1/1"]) == 0
    assert finish(command) == 0
    assert_same(store, undisturbed / "features.h5")


def test_shares_of_other_settings_are_refused(undisturbed: Path, tmp_path: Path) -> None:
    command = stage_command(undisturbed, tmp_path, "features.h5")
    log = tmp_path / "log.txt"
    assert finish([*command, "--share", "1/2"]) == 0
    assert finish([*command, "--max-size", "200"], log) == 1
    assert "was made with other settings (max_size: made with 1600, now 200)" in log.read_text()
    assert finish(command) == 0
    assert finish([*command, "--max-size", "100", "--share", "2/2"], log) == 1
    assert "(max_size: made with 1600, now 100)" in log.read_text()
    assert_same(tmp_path / "features.h5", undisturbed / "features.h5")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--share", "9/8"], "A share is I/N with I from 1 to N, like 3/8; got `9/8`."),
        (["--share", "1/8", "--ray"], "Give --ray or --share, not both."),
        (["--ray-workers", "2"], "--ray-workers counts only together with --ray."),
        (["--share", "1/8", "--ray-cpus", "2"], "--ray-cpus counts only together with --ray."),
        (["--ray-block", "9"], "--ray-block counts only together with --ray."),
        (
            ["--share", "1/8", "--overwrite"],
            "A share cannot start a store anew: others may be at work. Remove the store first.",
        ),
    ],
)
def test_flags_that_contradict_each_other(
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    command = stage_command(undisturbed, tmp_path, "features.h5")
    assert main([*command, *flags]) == 1
    assert capsys.readouterr().err == f"silk-sfm extract: error: {message}\n"
    assert not (tmp_path / "features.h5").exists()


def slurm_task(command: list[str], number: int | None) -> subprocess.Popen[str]:
    """The example script as SLURM runs it: a task of the array 5, 8, ... or a job without one."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLURM_CPUS_PER_TASK": "1"}
    if number is not None:
        task = {"ID": str(5 + 3 * number), "MIN": "5", "STEP": "3", "COUNT": str(N_TASKS)}
        environment |= {f"SLURM_ARRAY_TASK_{key}": value for key, value in task.items()}
    return subprocess.Popen(
        ["bash", str(SCRIPT), *command], env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_the_slurm_example(undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(undisturbed / "photos")
    (tmp_path / "pairs.txt").symlink_to(undisturbed / "pairs.txt")
    for store in STORES[:2]:
        command = stage_command(tmp_path, tmp_path, store)
        tasks = [slurm_task(command, number) for number in range(N_TASKS)]
        assert [(task.communicate()[1], task.returncode) for task in tasks] == [("", 0)] * N_TASKS
        assert not (tmp_path / store).exists()
        last = slurm_task(command, None)
        assert (last.communicate()[1], last.returncode) == ("", 0)
        assert_same(tmp_path / store, undisturbed / store)


@pytest.mark.slow
def test_the_slurm_example_with_a_bad_photo(undisturbed: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in (undisturbed / "photos").iterdir():
        (photos / photo.name).symlink_to(photo)
    (photos / "bad.png").write_bytes(b"")
    command = ["extract", str(photos), str(tmp_path / "f.h5"), "--config", "orb"]
    for number in (*range(N_TASKS), None):
        task = slurm_task(command, number)
        error = task.communicate()[1]
        assert task.returncode == 0
        assert ("skipped bad.png" in error) == (number in (None, 1))
    task = slurm_task([*command, "--extractor", "none"], 0)
    assert "error" in task.communicate()[1]
    assert task.returncode != 0
    with FeatureStore(tmp_path / "f.h5") as store:
        assert len(store) == N_IMAGES
    assert shards_of(tmp_path / "f.h5")

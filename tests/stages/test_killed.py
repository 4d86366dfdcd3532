"""kill -9 at random moments of every stage: nothing finished is lost, every file opens."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import finish, start
from small_photos import write_small_photos, write_small_weights

from silk_sfm.store.shard_files import shard_folder, shards_of

N_IMAGES = 30
N_KILLS = 8
"""In the middle of the work: after something new was finished, before all was."""
MAX_ROUNDS = 60
FLUSH_SECONDS = 0.0
"""Each result is a shard, so that progress is seen on a machine of any speed."""
MOMENT = 0.02
"""Seconds: about as long as a shard takes to be made and written."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, weights, pairs, and the stores of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    write_small_photos(root / "photos", N_IMAGES)
    write_small_weights(root / "micro.safetensors")
    for command in commands(root, root).values():
        assert finish(command) == 0
    return root


def commands(root: Path, out: Path) -> dict[str, list[str]]:
    """The command of each stage: inputs from the undisturbed folder, output to `out`."""
    weights = ["--weights", str(root / "micro.safetensors")]
    features, matches = str(root / "features.h5"), str(root / "matches.h5")
    pairs = str(root / "pairs.txt")
    extract = ["extract", str(root / "photos"), str(out / "features.h5"), "--top-k", "200"]
    return {
        "features.h5": [*extract, *weights, "--device", "cpu", "-q"],
        "pairs.txt": ["pairs", str(root / "photos"), pairs, "-q"],
        "matches.h5": ["match", features, pairs, str(out / "matches.h5"), "--device", "cpu", "-q"],
        "verified.h5": ["verify", features, matches, str(out / "verified.h5"), "-q"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("store", ["features.h5", "matches.h5", "verified.h5"])
def test_kill_9(undisturbed: Path, tmp_path: Path, store: str) -> None:
    rng = np.random.default_rng(len(store))
    command = commands(undisturbed, tmp_path)[store]
    path, everything = tmp_path / store, contents(undisturbed / store).keys()
    finished: set[str] = set()
    kills_in_work = 0
    for _ in range(MAX_ROUNDS):
        if kills_in_work == N_KILLS:
            break
        was_killed = run_and_kill(command, path, int(rng.integers(0, 5)), rng.uniform(0, MOMENT))
        kept = contents(path).keys()
        assert finished <= kept  # nothing finished is lost
        kills_in_work += was_killed and finished < kept < everything
        finished = set(kept)
        if finished == everything:
            start_anew(path)
            finished = set()
    assert kills_in_work == N_KILLS
    assert finish(command) == 0
    assert_equal_contents(contents(path), contents(undisturbed / store))
    assert_equal_contents(indexed(path), indexed(undisturbed / store))


def run_and_kill(command: list[str], path: Path, n_new: int, seconds: float) -> bool:
    """Kill a run so many seconds after `n_new` more shards are there; False when it ended before.

    With `n_new` = 0 that is while it starts and looks at what is there.
    """
    n_before = len(shards_of(path))
    process = start(command, flush_seconds=FLUSH_SECONDS)
    while process.is_alive() and len(shards_of(path)) < n_before + n_new:
        process.join(timeout=MOMENT / 10)
    process.join(timeout=seconds)
    was_killed = process.is_alive()
    process.kill()
    process.join()
    return was_killed


def start_anew(path: Path) -> None:
    """Remove a store that is complete, to be killed again."""
    path.unlink()
    for shard in shard_folder(path).glob("*.h5"):
        shard.unlink()


def contents(path: Path) -> dict[str, np.ndarray]:
    """Every dataset of a store: of its index and of all its finished shards, which must open."""
    if not path.exists():
        return {}
    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r"):
        pass
    for shard in sorted(shard_folder(path).glob("*.h5")):
        with h5py.File(shard, "r") as file:
            found.update(datasets(file))
    return found


def indexed(path: Path) -> dict[str, np.ndarray]:
    """Every dataset that plain h5py reaches from the store's own file."""
    with h5py.File(path, "r") as file:
        return datasets(file)


def datasets(group: h5py.Group, prefix: str = "") -> dict[str, np.ndarray]:
    """Every dataset below a group, through external links too."""
    found: dict[str, np.ndarray] = {}
    for name in group:
        item = group[name]
        if isinstance(item, h5py.Dataset):
            found[prefix + name] = item[()]
        else:
            found.update(datasets(item, f"{prefix}{name}/"))
    return found


def assert_equal_contents(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """The same datasets with the same bytes."""
    assert one.keys() == other.keys()
    for key, values in one.items():
        assert values.tobytes() == other[key].tobytes(), key

"""Cutting work, and what a worker says when it cannot do its part."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import isqrt
from pathlib import Path
from typing import NoReturn

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_photos import write_small_photos

from silk_sfm import __version__
from silk_sfm.errors import ClusterError, ConfigError
from silk_sfm.images import ImageFolder
from silk_sfm.scaling.extraction import ExtractionPlan
from silk_sfm.scaling.matching import Matching
from silk_sfm.scaling.on_ray import OnRay
from silk_sfm.scaling.run import run
from silk_sfm.scaling.stage import block_size, slices
from silk_sfm.scaling.worker import MOST_ATTEMPTS, Assignment, Finished, Worker
from silk_sfm.stages.choice import choose
from silk_sfm.stages.extract import ExtractionOptions
from silk_sfm.store import FeatureStore
from silk_sfm.store.pieces import pieces_folder, pieces_of

NAMES = ("000.png", "001.png", "002.png")
images = st.integers(0, 25).map("{:02d}.png".format)
pairs_of_images = st.lists(st.tuples(images, images).filter(lambda pair: pair[0] < pair[1]))


@given(pairs_of_images, st.integers(1, 40))
def test_every_pair_is_in_one_block(drawn: list[tuple[str, str]], size: int) -> None:
    pairs = list(dict.fromkeys(drawn))
    blocks = Matching.blocks(object.__new__(Matching), pairs, size)
    assert sorted(pair for block in blocks for pair in block) == sorted(pairs)
    assert all(1 <= len(block) <= size for block in blocks)
    assert len(blocks) == -(-len(pairs) // size)


def test_a_block_of_all_pairs_has_few_images() -> None:
    pairs = list(combinations([f"{i:03d}" for i in range(128)], 2))
    blocks = Matching.blocks(object.__new__(Matching), pairs, 256)
    n_images = [len({name for pair in block for name in pair}) for block in blocks]
    assert max(n_images) <= 4 * isqrt(256)
    assert sum(n_images) / len(n_images) < 2.2 * isqrt(256)


@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(1, 64))
def test_block_sizes(n_items: int, n_workers: int, most: int) -> None:
    size = block_size(n_items, n_workers, most)
    assert 1 <= size <= most
    blocks = slices(range(n_items), size)
    assert [item for block in blocks for item in block] == list(range(n_items))
    assert len(blocks) >= min(n_items, n_workers)


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A worker changes the folder and the number of threads of its process."""
    monkeypatch.chdir(tmp_path)
    n_threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(n_threads)


@pytest.fixture
def plan(tmp_path: Path) -> ExtractionPlan:
    """ORB on three photos."""
    write_small_photos(tmp_path / "photos", len(NAMES))
    folder = ImageFolder.open(tmp_path / "photos")
    options = ExtractionOptions()
    return ExtractionPlan(folder, choose("extractors", "orb"), options, "cpu", tmp_path / "f.h5")


def assigned(plan: ExtractionPlan, version: str = __version__) -> Assignment:
    return Assignment(plan.for_worker("cpu", 1), 0, Path.cwd(), version, n_cpus=1)


def test_blocks_become_pieces(plan: ExtractionPlan) -> None:
    with plan.opened() as stage, stage.writer() as store:
        worker = Worker(assigned(plan))
        for number, names in enumerate((NAMES[:2], NAMES[2:])):
            finished = worker.run(number, names)
            assert isinstance(finished, Finished)
            assert finished.report.done == len(names)
            store.adopt(finished.piece)
    with FeatureStore(plan.output) as features:
        assert features.names == list(NAMES)


def test_relative_paths_count_from_the_folder_of_the_command(
    plan: ExtractionPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plan.opened() as stage, stage.writer():
        pass
    images = replace(plan.images, root=Path("photos"))
    relative = assigned(replace(plan, images=images, output=Path("f.h5")))
    monkeypatch.chdir("/")
    assert isinstance(Worker(relative).run(0, NAMES), Finished)


def test_each_attempt_has_a_piece_of_its_own_and_there_is_a_last_one(plan: ExtractionPlan) -> None:
    with plan.opened() as stage, stage.writer():
        pass
    worker = Worker(assigned(plan))
    for attempt in range(1, MOST_ATTEMPTS + 1):
        finished = worker.run(3, NAMES)
        assert isinstance(finished, Finished)
        assert finished.piece.name.startswith(f"block-000003-{attempt}-")
    failed = worker.run(3, NAMES)
    assert isinstance(failed, ClusterError)
    assert str(failed) == (
        "The block from `000.png` to `002.png` ended 4 workers, so it was given up. Run it here, "
        "without --ray, to see why."
    )
    assert isinstance(worker.run(4, NAMES), Finished)
    assert len(pieces_of(plan.output)) == MOST_ATTEMPTS + 1
    report = run(plan)
    assert (report.done, report.reused) == (0, len(NAMES))
    assert list(pieces_folder(plan.output).iterdir()) == []


class EndsTheProcess(ExtractionPlan):
    """As a model that does not fit into the memory of the machine."""

    def opened(self) -> NoReturn:
        """Opening the stage is the end."""
        raise SystemExit


def test_a_stage_that_cannot_be_opened_is_given_up(plan: ExtractionPlan) -> None:
    with plan.opened() as stage, stage.writer():
        pass
    deadly = EndsTheProcess(plan.images, plan.extractor, plan.options, "cpu", plan.output)
    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(SystemExit):
            Worker(assigned(deadly)).run(0, NAMES)
    failed = Worker(assigned(deadly)).run(0, NAMES)
    assert isinstance(failed, ClusterError)
    assert "ended 4 workers, so it was given up." in str(failed)
    assert run(plan).done == len(NAMES)
    assert pieces_of(plan.output) == []


def test_a_machine_without_the_folder(plan: ExtractionPlan) -> None:
    failed = Worker(assigned(plan)).run(0, NAMES)
    assert isinstance(failed, ClusterError)
    assert str(failed).startswith(f"{plan.output} is not seen from ")
    assert str(failed).endswith("lie in a folder that all nodes share, at the same path.")


def test_a_machine_with_another_version(plan: ExtractionPlan) -> None:
    failed = Worker(assigned(plan, version="0.0.1")).run(0, NAMES)
    assert isinstance(failed, ClusterError)
    assert str(failed).endswith(
        f" has silk-sfm {__version__}, the command came from 0.0.1. "
        "Install the same version on every node."
    )


@pytest.mark.parametrize("wrong", [{"n_workers": -1}, {"n_items": -1}, {"n_cpus": 0}])
def test_numbers_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="a worker needs a core or more; got"):
        OnRay(**wrong)

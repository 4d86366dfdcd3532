from __future__ import annotations

import logging
from pathlib import Path

import pycolmap
import pytest
from many_view_scene import TRUE, many_view_scene

from silk_sfm.colmap import mapping
from silk_sfm.colmap.attempts import best_attempt
from silk_sfm.colmap.database import write_database
from silk_sfm.colmap.mapping import RELAXED_ANGLE, MappingOptions, run_mapper
from silk_sfm.errors import ReconstructionError

SCENE = many_view_scene(n_images=6, n_points=50)


class Registered:
    """Stands for a model of so many photos."""

    def __init__(self, n_images: int) -> None:
        self.n_images = n_images

    def num_reg_images(self) -> int:
        return self.n_images

    def num_points3D(self) -> int:
        return 10 * self.n_images


class Attempts:
    """Comes to the next of `found` each time; `told` is how they were called."""

    def __init__(self, *found: list[int]) -> None:
        self.found = iter(found)
        self.told: list[tuple[str, int]] = []

    def __call__(self, mapper: str, seed: int) -> list[Registered]:
        self.told.append((mapper, seed))
        return [Registered(n_images) for n_images in next(self.found)]

    def best(self, seeds: range) -> list[int]:
        models = best_attempt(self, ("incremental", "global"), seeds, 10)  # type: ignore[arg-type]
        return [model.num_reg_images() for model in models]


@pytest.mark.parametrize(
    ("found", "kept", "n_tried"),
    [
        (([6],), [6], 1),
        (([4, 3],), [4, 3], 1),
        (([2], [9]), [9], 2),
        (([], [3], [2, 5]), [2, 5], 3),
        (([4], [3, 3]), [4], 2),
        (([2], [], [4], [3]), [4], 4),
        (([], [], [], []), [], 4),
    ],
)
def test_attempts_end_with_half_of_the_photos(
    found: tuple[list[int], ...], kept: list[int], n_tried: int
) -> None:
    attempts = Attempts(*found)
    assert attempts.best(range(7, 9)) == kept
    order = [("incremental", 7), ("global", 7), ("incremental", 8), ("global", 8)]
    assert attempts.told == order[:n_tried]


def test_every_further_attempt_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert Attempts([2], [3], [2]).best(range(7, 8)) == [3]
    assert caplog.messages == [
        "The incremental mapper registered 2 of 10 photos; trying the global one with seed 7."
    ]


@pytest.mark.parametrize(("quickly_mapped", "seeds"), [(6, (5, 6)), (5, (5,))])
def test_every_mapper_tries_with_every_seed(
    quickly_mapped: int, seeds: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, int, float, float]] = []

    def incrementally(
        database: Path, options: pycolmap.IncrementalPipelineOptions, _: None
    ) -> list[object]:
        first = options.mapper
        motion, angle = first.init_max_forward_motion, first.init_min_tri_angle
        tried.append(("incremental", options.random_seed, motion, angle))
        return []

    def globally(database: Path, options: pycolmap.GlobalPipelineOptions) -> list[object]:
        tried.append(("global", options.random_seed, 0.0, 0.0))
        return []

    monkeypatch.setattr(mapping, "QUICKLY_MAPPED", quickly_mapped)
    monkeypatch.setattr(mapping, "_map_incrementally", incrementally)
    monkeypatch.setattr(mapping, "_map_globally", globally)
    cameras, keypoints = SCENE.cameras(TRUE), SCENE.keypoints.__getitem__
    write_database(tmp_path / "d.db", SCENE.names, cameras, keypoints, SCENE.pairs("essential"))
    options = MappingOptions(seed=5, fallback_seeds=2)
    with pytest.raises(ReconstructionError, match="made no model of 6 images"):
        run_mapper(tmp_path / "d.db", tmp_path, tmp_path, options, True)
    usual = pycolmap.IncrementalMapperOptions()
    assert tried == [
        attempt
        for seed in seeds
        for attempt in (
            ("incremental", seed, usual.init_max_forward_motion, usual.init_min_tri_angle),
            ("incremental", seed, 1.0, RELAXED_ANGLE),
            ("global", seed, 0.0, 0.0),
        )
    ]

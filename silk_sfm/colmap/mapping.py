"""From a database to models: COLMAP's incremental, global and hierarchical mappers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pycolmap

from silk_sfm.colmap.adjustment import adjust_robustly
from silk_sfm.colmap.attempts import Models, best_attempt, size
from silk_sfm.colmap.cameras import CameraAssignment
from silk_sfm.colmap.database import DatabaseCounts, count
from silk_sfm.colmap.groups import MIN_IMAGES, map_in_groups, models_of
from silk_sfm.colmap.logs import colmap_log
from silk_sfm.colmap.model import Model, read_model
from silk_sfm.colmap.trimming import trimmed
from silk_sfm.errors import ConfigError, ReconstructionError
from silk_sfm.files import whole_folder
from silk_sfm.options import check_at_least, neutral

Mapper = Literal["incremental", "global", "hierarchical"]
OnImage = Callable[[int], None]
RELAXED_ANGLE = 4.0  # degrees between the rays of a first pair; COLMAP asks for 16
QUICKLY_MAPPED = 200  # photos: another attempt takes seconds to minutes
SMALL_SCENE = 0.8  # of the images: no model has to be larger than that


@dataclass(frozen=True)
class MappingOptions:
    """How a model is built from verified pairs."""

    mapper: Mapper = "incremental"
    """incremental: one photo after the other, the most tried. global: all at once (GLOMAP), faster
    on many photos. hierarchical: incremental in overlapping groups, for thousands of photos."""
    fallback_seeds: int = 3
    """When the incremental mapper registers fewer than half of the photos, it tries again with
    first pairs of small angles and forward motion, then the global one tries; then all with the
    next seed, up to so many seeds (more than 200 photos: one). The largest model is kept. 0: none
    of this."""
    refine_intrinsics: bool | None = None
    """Refine focal length and distortion. Not set: unless the intrinsics are known."""
    refine_principal_point: bool = False
    """Refine the principal point too; needs many photos with varied views."""
    min_matches: int = 15
    """A pair with fewer inliers is not used."""
    init_min_matches: int = 100
    """The first pair has at least that many inliers (incremental, hierarchical); it is relaxed when
    there is no such pair."""
    min_model_size: int = 10
    """A model with fewer photos is dropped; at most 80 % of the photos are asked for."""
    multiple_models: bool = True
    """Build more models from photos that fit into none; off: keep the first."""
    robust: bool = True
    """Adjust the finished model once more with a loss that lets false matches go."""
    cluster_images: int = 500
    """hierarchical: a group has at most so many photos, besides the overlap. Scenes with no more
    photos are one group."""
    cluster_overlap: int = 50
    """hierarchical: photos that neighbouring groups share; groups that share too few cannot be
    joined and stay models of their own."""
    seed: int = 0
    """Of the random sampling; with one thread the same seed gives the same model."""
    threads: int = neutral(0)
    """Number of threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        for name in ("min_matches", "init_min_matches", "min_model_size"):
            check_at_least(name, getattr(self, name), 1)
        if self.cluster_images < 3 or self.cluster_overlap < 2:
            raise ConfigError(
                "cluster_images must be at least 3 and cluster_overlap at least 2, got "
                f"{self.cluster_images} and {self.cluster_overlap}."
            )
        for name in ("fallback_seeds", "seed", "threads"):
            check_at_least(name, getattr(self, name), 0)

    def fixes_intrinsics(self, cameras: CameraAssignment) -> bool:
        """Do the intrinsics stay as they are?"""
        if self.refine_intrinsics is None:
            return cameras.all_trusted
        return not self.refine_intrinsics


@dataclass(frozen=True, eq=False)
class MappingResult:
    """model: the largest; model_dir: where it lies; n_images: of each model, largest first."""

    model: Model
    model_dir: Path
    n_images: tuple[int, ...]
    seconds: float


def run_mapper(
    database: Path,
    image_dir: Path,
    out_dir: Path,
    options: MappingOptions,
    fixed_intrinsics: bool,
    on_image: OnImage | None = None,
) -> MappingResult:
    """Build models and write them to out_dir/sparse/0, 1, ... (COLMAP binary), the largest first.

    image_dir: where the points' colours come from
    on_image: called with the number of registered images (incremental mapper only)

    out_dir/sparse is replaced as a whole, and only when there is a model. Raises
    ReconstructionError with the counts of the database when there is none. Ctrl-C stops the
    incremental mapper at the next image, the global one at its next step, the hierarchical one when
    it has finished.
    """
    start = time.perf_counter()
    counts = count(database)
    with whole_folder(out_dir / "sparse") as part, colmap_log():
        models = _map(database, options, fixed_intrinsics, counts.n_images, on_image)
        if not models:
            raise ReconstructionError(no_model_text(counts, options))
        for index, model in enumerate(models):
            model.extract_colors_for_all_images(image_dir)
            (part / str(index)).mkdir()
            model.write_binary(part / str(index))
    model_dir = out_dir / "sparse" / "0"
    return MappingResult(
        read_model(model_dir),
        model_dir,
        tuple(model.num_reg_images() for model in models),
        time.perf_counter() - start,
    )


def no_model_text(counts: DatabaseCounts, options: MappingOptions) -> str:
    """Why there is no model, as far as the database tells."""
    return (
        f"The {options.mapper} mapper made no model of {counts.n_images} images, {counts.n_pairs} "
        f"verified pairs and {counts.n_inliers} inliers (at most {counts.best_pair} in one pair, "
        f"min_matches is {options.min_matches})."
    )


def _map(
    database: Path,
    options: MappingOptions,
    fixed_intrinsics: bool,
    n_images: int,
    on_image: OnImage | None,
) -> Models:
    """The models, adjusted and without photos that nothing holds; the largest first."""
    makers: dict[str, Callable[[pycolmap.IncrementalPipelineOptions], Models]] = {
        "incremental": lambda single: _map_incrementally(database, single, on_image),
        "relaxed incremental": lambda single: _map_incrementally(
            database, _from_any_pair(single), on_image
        ),
        "global": lambda single: _map_globally(database, _global_options(single)),
        "hierarchical": lambda single: map_in_groups(
            database, _hierarchical_options(options, single)
        ),
    }

    def attempt(mapper: str, seed: int) -> Models:
        single = _incremental_options(replace(options, seed=seed), fixed_intrinsics, n_images)
        models = trimmed(makers[mapper](single), single, database)
        if options.robust:
            for model in models:
                adjust_robustly(model, single)
            models = trimmed(models, single, database)
        return sorted(models, key=size, reverse=True)

    if options.mapper != "incremental" or not options.fallback_seeds:
        return attempt(options.mapper, options.seed)
    n_seeds = options.fallback_seeds if n_images <= QUICKLY_MAPPED else 1
    seeds = range(options.seed, options.seed + n_seeds)
    mappers = "incremental", "relaxed incremental", "global"
    return best_attempt(attempt, mappers, seeds, n_images)


def _map_incrementally(
    database: Path, options: pycolmap.IncrementalPipelineOptions, on_image: OnImage | None
) -> Models:
    manager = pycolmap.ReconstructionManager()
    with pycolmap.Database.open(database) as opened:
        pipeline = pycolmap.IncrementalPipeline(options, opened, manager)

    def registered() -> None:
        if on_image is not None:
            on_image(sum(manager.get(index).num_reg_images() for index in range(manager.size())))

    kinds = pycolmap.IncrementalPipelineCallback
    for kind in (kinds.INITIAL_IMAGE_PAIR_REG_CALLBACK, kinds.NEXT_IMAGE_REG_CALLBACK):
        pipeline.add_callback(kind.value, registered)
    pipeline.run()
    return models_of(manager)


def _map_globally(database: Path, options: pycolmap.GlobalPipelineOptions) -> Models:
    """The callback does nothing; Python looks for Ctrl-C when it is called."""
    manager = pycolmap.ReconstructionManager()
    with pycolmap.Database.open(database) as opened:
        pipeline = pycolmap.GlobalPipeline(options, opened, manager)
    pipeline.add_callback(pycolmap.GlobalPipelineCallback.MODEL_UPDATE_CALLBACK.value, lambda: None)
    pipeline.run()
    return models_of(manager)


def _incremental_options(
    options: MappingOptions, fixed_intrinsics: bool, n_images: int
) -> pycolmap.IncrementalPipelineOptions:
    chosen = pycolmap.IncrementalPipelineOptions(
        min_num_matches=options.min_matches,
        min_model_size=_smallest(options, n_images),
        multiple_models=options.multiple_models,
        ba_refine_focal_length=not fixed_intrinsics,
        ba_refine_extra_params=not fixed_intrinsics,
        ba_refine_principal_point=options.refine_principal_point and not fixed_intrinsics,
        extract_colors=False,
        random_seed=options.seed,
        num_threads=options.threads or _n_cores(),
    )
    chosen.mapper.init_min_num_inliers = options.init_min_matches
    chosen.triangulation.ignore_two_view_tracks = n_images > MIN_IMAGES  # two photos have no others
    return chosen


def _from_any_pair(
    single: pycolmap.IncrementalPipelineOptions,
) -> pycolmap.IncrementalPipelineOptions:
    """For photos of a camera that moves forward: first pairs that see little from the side."""
    single.mapper.init_max_forward_motion = 1.0
    single.mapper.init_min_tri_angle = RELAXED_ANGLE
    return single


def _hierarchical_options(
    options: MappingOptions, single: pycolmap.IncrementalPipelineOptions
) -> pycolmap.HierarchicalPipelineOptions:
    chosen = pycolmap.HierarchicalPipelineOptions(num_threads=single.num_threads)
    chosen.incremental_options = single
    chosen.clustering_options.leaf_max_num_images = options.cluster_images
    chosen.clustering_options.image_overlap = options.cluster_overlap
    return chosen


def _global_options(single: pycolmap.IncrementalPipelineOptions) -> pycolmap.GlobalPipelineOptions:
    chosen = pycolmap.GlobalPipelineOptions(
        min_num_matches=single.min_num_matches,
        min_model_size=single.min_model_size,
        multiple_models=single.multiple_models,
        random_seed=single.random_seed,
        num_threads=single.num_threads,
    )
    adjustment = chosen.mapper.bundle_adjustment
    adjustment.refine_focal_length = single.ba_refine_focal_length
    adjustment.refine_extra_params = single.ba_refine_extra_params
    adjustment.refine_principal_point = single.ba_refine_principal_point
    return chosen


def _smallest(options: MappingOptions, n_images: int) -> int:
    """Number of images that a model must have."""
    return min(options.min_model_size, max(MIN_IMAGES, int(SMALL_SCENE * n_images)))


def _n_cores() -> int:
    return os.cpu_count() or 1

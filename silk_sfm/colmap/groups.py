"""COLMAP's hierarchical mapper: overlapping groups of photos, mapped one by one and joined."""

from __future__ import annotations

from pathlib import Path

import pycolmap


def map_in_groups(
    database: Path, options: pycolmap.HierarchicalPipelineOptions, fixed_intrinsics: bool
) -> list[pycolmap.Reconstruction]:
    """Models of the photos in `database`; several when groups share too few photos to be joined."""
    manager = pycolmap.ReconstructionManager()
    with pycolmap.Database.open(database) as opened:
        pipeline = pycolmap.HierarchicalPipeline(options, opened, manager)
        try:
            pipeline.run()
        except IndexError:  # pycolmap 4.2.1 merges the clusters of nothing
            return []
    models = models_of(manager)
    for model in models:
        adjust(model, options.incremental_options, fixed_intrinsics)
    return models


def adjust(
    model: pycolmap.Reconstruction,
    single: pycolmap.IncrementalPipelineOptions,
    fixed_intrinsics: bool,
) -> None:
    """Adjust all of a model, drop what does not fit, adjust again.

    COLMAP leaves joined groups as they are, which doubles or triples the reprojection error.
    """
    adjustment = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=not fixed_intrinsics,
        refine_extra_params=not fixed_intrinsics,
        refine_principal_point=single.ba_refine_principal_point,
        print_summary=False,
    )
    adjustment.ceres.solver_options.num_threads = single.num_threads
    limits = single.mapper.filter_max_reproj_error, single.mapper.filter_min_tri_angle
    _solve(model, adjustment)
    pycolmap.ObservationManager(model).filter_all_points3D(*limits)
    _solve(model, adjustment)


def _solve(model: pycolmap.Reconstruction, adjustment: pycolmap.BundleAdjustmentOptions) -> None:
    """What `pycolmap.bundle_adjustment` does, which also turns COLMAP's log on."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(adjustment, config, model).solve()


def models_of(manager: pycolmap.ReconstructionManager) -> list[pycolmap.Reconstruction]:
    """The models of a mapper that have at least two photos."""
    models = [manager.get(index) for index in range(manager.size())]
    return [model for model in models if model.num_reg_images() > 1]

"""COLMAP's hierarchical mapper: overlapping groups of photos, mapped one by one and joined."""

from __future__ import annotations

from pathlib import Path

import pycolmap

from silk_sfm.colmap.adjustment import adjust

MIN_IMAGES = 2
"""Fewer make no model."""


def map_in_groups(
    database: Path, options: pycolmap.HierarchicalPipelineOptions
) -> list[pycolmap.Reconstruction]:
    """Models of the photos in `database`; several when groups share too few photos to be joined.

    COLMAP leaves joined groups as they are, which doubles or triples the reprojection error: each
    model is adjusted as a whole.
    """
    manager = pycolmap.ReconstructionManager()
    with pycolmap.Database.open(database) as opened:
        pipeline = pycolmap.HierarchicalPipeline(options, opened, manager)
        try:
            pipeline.run()
        except IndexError:  # pycolmap 4.2.1 merges the clusters of nothing
            return []
    models = models_of(manager)
    for model in models:
        adjust(model, options.incremental_options)
    return models


def models_of(manager: pycolmap.ReconstructionManager) -> list[pycolmap.Reconstruction]:
    """The models of a mapper that have at least two photos."""
    models = [manager.get(index) for index in range(manager.size())]
    return [model for model in models if model.num_reg_images() >= MIN_IMAGES]

"""Photos that a mapper gave a pose although nothing holds them there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pycolmap

from silk_sfm.colmap.groups import MIN_IMAGES


def trimmed(
    models: Iterable[pycolmap.Reconstruction],
    single: pycolmap.IncrementalPipelineOptions,
    database: Path,
) -> list[pycolmap.Reconstruction]:
    """The models without such photos; a model of fewer than two photos goes.

    database: what the models were made of; cameras without a photo left are again as they are there

    COLMAP's incremental mapper asks for inliers before it registers a photo. Its global one gives
    every connected photo a pose, some of them with no point left or with a negative focal length.
    """
    models = list(models)
    with pycolmap.Database.open(database) as opened:
        initial = opened.read_all_cameras()
    for model in models:
        _drop_photos(model, single)
        _reset_unused(model, initial)
    return [model for model in models if model.num_reg_images() >= MIN_IMAGES]


def _drop_photos(
    model: pycolmap.Reconstruction, single: pycolmap.IncrementalPipelineOptions
) -> None:
    """De-register photos that see fewer points than a pair must share, or with absurd cameras.

    With a photo go the points that only one other sees, and so perhaps the next photo. What is
    absurd is for COLMAP's incremental mapper to say; known intrinsics never are.
    """
    limits = single.mapper
    sane = (limits.min_focal_length_ratio, limits.max_focal_length_ratio, limits.max_extra_param)
    if not single.ba_refine_focal_length:
        sane = (0.0, math.inf, math.inf)
    observations = pycolmap.ObservationManager(model)
    while lost := observations.filter_frames(*sane, single.min_num_matches):
        for frame_id in lost:
            observations.deregister_frame(frame_id)


def _reset_unused(model: pycolmap.Reconstruction, initial: Iterable[pycolmap.Camera]) -> None:
    used = {model.images[image_id].camera_id for image_id in model.reg_image_ids()}
    for camera in initial:
        if camera.camera_id not in used and camera.camera_id in model.cameras:
            model.cameras[camera.camera_id].params = list(camera.params)

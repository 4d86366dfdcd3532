"""Bundle adjustment of a whole model, after COLMAP's mappers."""

from __future__ import annotations

import statistics

import pycolmap

CAUCHY_EFFICIENCY = 2.3849
"""Scale of Cauchy's loss, in standard deviations of a coordinate, at which it is 95 % as efficient
as least squares on Gaussian errors (Zhang, Parameter estimation techniques, IVC 1997)."""
MEAN_DISTANCE = 1.2533
"""Mean length of a residual whose two coordinates are Gaussian with a standard deviation of 1."""
FUNCTION_TOLERANCE = 1e-6
"""Relative change of the cost at which the solver stops. COLMAP's 0 takes three times as long and
changed no error of the Strecha scenes by 0.1 %."""
SMALLEST_SCALE = 0.05
"""Pixels; made-up scenes without noise would come to 0."""


def adjust(model: pycolmap.Reconstruction, single: pycolmap.IncrementalPipelineOptions) -> None:
    """Least squares over all of a model; drop what does not fit; the same again."""
    adjustment = _options(single)
    _solve(model, adjustment)
    _drop_what_does_not_fit(model, single)
    _solve(model, adjustment)


def adjust_robustly(
    model: pycolmap.Reconstruction, single: pycolmap.IncrementalPipelineOptions
) -> None:
    """Adjust all of a model with Cauchy's loss, and drop what does not fit.

    COLMAP's incremental mapper ends with least squares over all that is within 4 px. Matches that
    agree with the epipolar geometry but not with the scene, as on a facade that repeats itself, are
    within that and bend the model. Cauchy's loss, whose scale follows the residuals, lets them go.
    """
    if not model.num_points3D():
        return
    adjustment = _options(single)
    adjustment.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    adjustment.ceres.loss_function_scale = _scale(model)
    _solve(model, adjustment)
    _drop_what_does_not_fit(model, single)


def _scale(model: pycolmap.Reconstruction) -> float:
    """Of Cauchy's loss, pixels: from the median of the points' mean errors."""
    model.update_point_3d_errors()
    median: float = statistics.median(point.error for point in model.points3D.values())
    return max(CAUCHY_EFFICIENCY / MEAN_DISTANCE * median, SMALLEST_SCALE)


def _options(single: pycolmap.IncrementalPipelineOptions) -> pycolmap.BundleAdjustmentOptions:
    options = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=single.ba_refine_focal_length,
        refine_extra_params=single.ba_refine_extra_params,
        refine_principal_point=single.ba_refine_principal_point,
        print_summary=False,
    )
    options.ceres.solver_options.num_threads = single.num_threads
    options.ceres.solver_options.function_tolerance = FUNCTION_TOLERANCE
    return options


def _solve(model: pycolmap.Reconstruction, adjustment: pycolmap.BundleAdjustmentOptions) -> None:
    """What `pycolmap.bundle_adjustment` does, which also turns COLMAP's log on."""
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(adjustment, config, model).solve()
    model.update_point_3d_errors()


def _drop_what_does_not_fit(
    model: pycolmap.Reconstruction, single: pycolmap.IncrementalPipelineOptions
) -> None:
    limits = single.mapper.filter_max_reproj_error, single.mapper.filter_min_tri_angle
    pycolmap.ObservationManager(model).filter_all_points3D(*limits)

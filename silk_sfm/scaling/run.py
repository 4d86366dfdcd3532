"""Where a stage runs: here, here but only a share of it, or on a Ray cluster."""

from __future__ import annotations

from silk_sfm.errors import ConfigError
from silk_sfm.scaling.on_ray import OnRay, check_ray
from silk_sfm.scaling.share import Share, run_share
from silk_sfm.scaling.stage import Plan
from silk_sfm.stages.report import StageReport, Track, silent


def run(
    plan: Plan, where: OnRay | Share | None = None, overwrite: bool = False, track: Track = silent
) -> StageReport:
    """Run a stage on this machine, or `where` it says; the store is the same.

    Raises SilkSfmError when Ray is missing or cannot be reached, and as the stage does.
    """
    if isinstance(where, Share):
        if overwrite:
            raise ConfigError(
                "A share cannot start a store anew: others may be at work. Remove the store first."
            )
        return run_share(plan, where, track)
    if where is not None:
        check_ray()
        from silk_sfm.scaling.spread import spread

        return spread(plan, where, overwrite, track)
    with plan.opened() as stage:
        items = stage.items()
        with stage.writer(overwrite) as store:
            return stage.run(items, store, track)

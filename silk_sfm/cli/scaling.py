"""Flags of the stages that can run on many machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from silk_sfm.cli.arguments import RunOptions
from silk_sfm.cli.printing import conclude, tracker
from silk_sfm.errors import ConfigError
from silk_sfm.scaling.on_ray import OnRay
from silk_sfm.scaling.run import run
from silk_sfm.scaling.share import Share
from silk_sfm.scaling.stage import Plan

NO_RAY, ANY_CLUSTER = "", "auto"
_ADDRESS = PrimitiveConstructorSpec(
    nargs=(0, 1),
    metavar="[ADDRESS]",
    instance_from_str=lambda words: words[0] if words else ANY_CLUSTER,
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda value: [value] if value else [],
)


@dataclass(frozen=True)
class ScalingOptions:
    """On which machines a stage runs; the result is the same."""

    ray: Annotated[str, _ADDRESS] = NO_RAY
    """Run on a Ray cluster whose nodes share the folders of inputs and output (extra `ray`):
    HOST:PORT of its head node; without it the cluster that RAY_ADDRESS names or that runs here, or
    else all cores of this machine."""
    ray_workers: int = 0
    """With --ray: workers at most; 0 takes as many as fit, one a GPU where there are any."""
    ray_cpus: int = 1
    """With --ray: cores of a worker. Options on threads and memory count for each worker."""
    ray_block: int = 0
    """With --ray: images or pairs that a worker gets at a time; 0 chooses."""
    share: str = ""
    """Do only the share I/N, 3/8 for example, as one task of an array job. The same command without
    --share joins all shares, and does what is missing."""

    def where(self) -> OnRay | Share | None:
        """The choice of the flags. Raises ConfigError when they contradict each other."""
        if self.share and self.ray:
            raise ConfigError("Give --ray or --share, not both.")
        if not self.ray:
            self._check_without_ray()
            return Share.parse(self.share) if self.share else None
        address = "" if self.ray == ANY_CLUSTER else self.ray
        return OnRay(address, self.ray_workers, self.ray_cpus, self.ray_block)

    def _check_without_ray(self) -> None:
        for name in ("ray_workers", "ray_cpus", "ray_block"):
            if getattr(self, name) != getattr(ON_THIS_MACHINE, name):
                raise ConfigError(f"--{name.replace('_', '-')} counts only together with --ray.")


ON_THIS_MACHINE = ScalingOptions()


def run_plan(plan: Plan, scaling: ScalingOptions, options: RunOptions, output: Path) -> int:
    """Run a stage where the flags say and print its summary; returns the exit status."""
    where, track = scaling.where(), tracker(options)
    report = run(plan, where, options.overwrite, track)
    return conclude(report, options, output)

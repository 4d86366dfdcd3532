"""What a run on Ray is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from silk_sfm.errors import ClusterError, ConfigError


@dataclass(frozen=True)
class OnRay:
    """On the workers of a Ray cluster.

    address: `host:port` of its head node; empty for the one that RAY_ADDRESS names or that runs
        here, or else one that is started here for as long as the stage runs
    n_workers: at most; 0 takes as many as fit
    n_cpus: cores of each; n_items: images or pairs of a block, 0 chooses
    """

    address: str = ""
    n_workers: int = 0
    n_cpus: int = 1
    n_items: int = 0

    def __post_init__(self) -> None:
        if self.n_workers < 0 or self.n_items < 0 or self.n_cpus < 1:
            raise ConfigError(
                "Workers and items of a block must not be negative, and a worker needs a core or "
                f"more; got {self.n_workers}, {self.n_items} and {self.n_cpus}."
            )


def check_ray() -> None:
    """Raises ClusterError when Ray is missing."""
    if find_spec("ray") is None:
        raise ClusterError(
            "--ray needs Ray, on every node: pip install 'silk-sfm[ray]', or leave out --ray."
        )

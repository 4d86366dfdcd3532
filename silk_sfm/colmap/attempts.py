"""Another mapper, other seeds: what to try when a model died with a few photos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import product

import pycolmap

log = logging.getLogger(__name__)

MIN_SHARE = 0.5
"""Of the photos: models that register fewer are not trusted."""

Models = list[pycolmap.Reconstruction]


def best_attempt(
    attempt: Callable[[str, int], Models],
    mappers: Sequence[str],
    seeds: Iterable[int],
    n_images: int,
) -> Models:
    """The models of the first attempt that registers half of the photos, or the largest ones.

    attempt: makes the models of a mapper and a seed
    mappers: names; all of them are tried with a seed before the next seed

    An incremental model can start from a bad pair and die with two photos, or find no pair that is
    wide enough. The global mapper has no first pair, but with few matches its rotations are a
    matter of luck.
    """
    best: Models = []
    n_registered = 0
    tried = ""
    for seed, mapper in product(seeds, mappers):
        if tried:
            log.warning(
                "The %s mapper registered %d of %d photos; trying the %s one with seed %d.",
                *(tried, n_registered, n_images, mapper, seed),
            )
        models = attempt(mapper, seed)
        best = max(best, models, key=_largest)
        tried, n_registered = mapper, sum(size(model)[0] for model in models)
        if n_registered >= MIN_SHARE * n_images:
            break
    return best


def size(model: pycolmap.Reconstruction) -> tuple[int, int]:
    """By which models are compared: photos, then points."""
    return model.num_reg_images(), model.num_points3D()


def _largest(models: Models) -> tuple[int, int]:
    return max(map(size, models), default=(0, 0))

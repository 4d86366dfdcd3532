"""Matching in tiles beside the formula on the whole matrix: seconds and memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from silk_sfm.benchmarking.figures import Figure, Scope, seconds
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.matching.dense import dense_double_softmax, dense_mutual_nearest
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.mutual import mutual_nearest

SIZE = 128
TEMPERATURE, THRESHOLD = 0.05, 0.3
"""SiLK's temperature 0.1 for descriptors of length 1.41."""
NOISE = 0.05
DENSE = "the formula on the whole matrix"


def figures(scope: Scope) -> Iterator[Figure]:
    """Double softmax and mutual nearest neighbours of two large images."""
    n = 2_000 if scope.quick else 10_000
    inputs = partial(alike_descriptors, n, scope.device)
    a, b = inputs()
    what = f"{n} x {n} x {SIZE}"
    tiled = partial(double_softmax, temperature=TEMPERATURE, threshold=THRESHOLD)
    dense = partial(dense_double_softmax, temperature=TEMPERATURE, threshold=THRESHOLD)
    yield Figure(
        f"double softmax {what}",
        "s",
        seconds(lambda: tiled(a, b)),
        seconds(lambda: dense(a, b)),
        DENSE,
    )
    yield Figure(
        f"mutual nearest neighbours {what}",
        "s",
        seconds(lambda: mutual_nearest(a, b)),
        seconds(lambda: dense_mutual_nearest(a, b)),
        DENSE,
    )
    if scope.device == "cpu":
        yield Figure(
            f"memory of double softmax {what}",
            "MB",
            peak_above_inputs_mb(inputs, tiled),
            peak_above_inputs_mb(inputs, dense),
            DENSE,
            max_repeats=1,
            note="peak of resident memory above the inputs, in a process of its own",
        )


def alike_descriptors(n: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """(n, SIZE) float32 unit vectors of two images; row i of both is nearly the same."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(n, SIZE, generator=generator)
    a /= a.norm(dim=1, keepdim=True)
    b = a + NOISE * torch.randn(n, SIZE, generator=generator)
    b /= b.norm(dim=1, keepdim=True)
    return a.to(device), b.to(device)

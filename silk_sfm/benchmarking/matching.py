"""Matching in tiles beside the formula on the whole matrix: seconds and memory.

On a CUDA device with Triton also the fused kernels, beside the bare products that they contain.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

import torch

from silk_sfm.benchmarking.figures import Figure, Number, Scope, rate, seconds
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.matchers.double_softmax import PAIRS_TOGETHER
from silk_sfm.matching.dense import dense_double_softmax, dense_mutual_nearest
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.fused import Pair, fused_double_softmax
from silk_sfm.matching.mutual import mutual_nearest

SIZE = 128
TEMPERATURE, THRESHOLD = 0.05, 0.3
"""SiLK's temperature 0.1 for descriptors of length 1.41."""
NOISE = 0.05
DENSE = "the formula on the whole matrix"
BARE = "the two bare products a b' in bfloat16, into memory"
ONE_AT_A_TIME = "the same kernels, a pair a launch"


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
    if scope.device.startswith("cuda") and find_spec("triton"):
        yield from _fused_figures(scope)


def _fused_figures(scope: Scope) -> Iterator[Figure]:
    """The fused kernels on one large pair, and on many small ones."""
    n, n_small = (2_000, 500) if scope.quick else (10_000, 2_048)
    large, small = alike_descriptors(n, scope.device), alike_descriptors(n_small, scope.device)
    a, b = (side.bfloat16() for side in large)
    pairs = [(small[0].clone(), small[1].clone()) for _ in range(PAIRS_TOGETHER)]

    def bare() -> None:
        for _ in range(2):  # both passes of the double softmax need the similarities
            torch.mm(a, b.T)
        torch.cuda.synchronize(a.device)

    yield Figure(
        f"fused double softmax {n} x {n} x {SIZE}, bfloat16",
        "s",
        _warm(seconds(lambda: _fused([large]))),
        _warm(seconds(bare)),
        BARE,
        note="ours ends with the pairs on the CPU",
    )
    yield Figure(
        f"fused double softmax of {PAIRS_TOGETHER} pairs {n_small} x {n_small} x {SIZE}, bfloat16",
        "pairs/s",
        _warm(rate(lambda: _fused(pairs), PAIRS_TOGETHER)),
        _warm(rate(lambda: [_fused([pair]) for pair in pairs], PAIRS_TOGETHER)),
        ONE_AT_A_TIME,
        more_is_better=True,
    )


def _fused(pairs: list[Pair]) -> object:
    return fused_double_softmax(pairs, TEMPERATURE, THRESHOLD, "bfloat16")


def _warm(number: Number) -> Number:
    """The same, once what the first call alone does is over: compiling, and taking memory."""
    number()
    return number


def alike_descriptors(n: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """(n, SIZE) float32 unit vectors of two images; row i of both is nearly the same."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(n, SIZE, generator=generator)
    a /= a.norm(dim=1, keepdim=True)
    b = a + NOISE * torch.randn(n, SIZE, generator=generator)
    b /= b.norm(dim=1, keepdim=True)
    return a.to(device), b.to(device)

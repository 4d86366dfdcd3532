"""Double softmax of many pairs in a few GPU launches; similarities never leave the chip.

Two passes over tiles of s = a b' / temperature, as in `double_softmax`: the sums of exp(s) along
rows and columns, then the best P of each row and column. The idea of recomputing a tile instead of
storing it is that of FlashAttention (Dao et al., NeurIPS 2022, arXiv 2205.14135). The kernels have
run in Triton's interpreter and through its compiler, never on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch

from silk_sfm.errors import ConfigError
from silk_sfm.matching.double_softmax import double_softmax
from silk_sfm.matching.exponentials import LARGEST_PLAIN
from silk_sfm.matching.tiles import MutualPairs, Similarity

Pair = tuple[torch.Tensor, torch.Tensor]

LOG2_E = 1.4426950408889634
FEWEST_NUMBERS = 16
"""The shortest product that tensor cores take."""
LONGEST_BLOCK = 128
"""Rows that a tile may read, and ignores, beyond the last descriptor of an image."""
SPAN = 1024
"""Columns of one program: 10,000 x 10,000 makes 790 programs, several for each of 132 processors,
and a block of rows is still read for 16 tiles at a time."""
LINE = 256
"""Descriptors of one program that reduces partial results."""
COMPILED = {"enable_fp_fusion": True}
"""a * b + c is rounded once; said aloud, because the default of Triton changes after 3.9."""
PARTIAL_BYTES = 8
"""A partial result: float32 value, int32 place."""
LAUNCH_BYTES = 2**28
"""Partial results of one launch: 256 MiB, pairs of 60,000 x 60,000 descriptors."""
MOST_PAIRS = 2**15 - 1
"""The third side of a launch's grid has at most 65,535 programs, two for each pair."""


@dataclass(frozen=True)
class Blocks:
    """How a program cuts its work.

    rows, columns: of a tile
    step: how many numbers of a descriptor are multiplied at a time; all of them where they fit
    stages: blocks loaded ahead, at the price of memory on the chip
    """

    rows: int
    columns: int
    step: int
    stages: int


def blocks_for(size: int, dtype: torch.dtype) -> Blocks:
    """Blocks for descriptors of `size` numbers, a power of two.

    Chosen by what the compiler reports for compute capabilities 8.0 and 9.0: below 99 KiB on chip,
    which all GPUs since 2020 have, and no registers spilled. float32 is not multiplied by tensor
    cores: longer steps than 16 do not fit into registers.
    """
    if dtype == torch.float32:
        return Blocks(64, 64, 16, 3)
    if size <= 128:
        return Blocks(LONGEST_BLOCK, 64, size, 3)
    return Blocks(64, 64, size if size <= 256 else 128, 2)


def load_kernels(device: str) -> ModuleType:
    """The kernels. Raises ConfigError without Triton, and for a device that is no CUDA device."""
    try:
        from silk_sfm.matching import fused_kernels
    except ImportError as error:
        raise ConfigError(
            "The kernel `triton` needs the package Triton, which is not installed: "
            "pip install 'silk-sfm[triton]', or use --kernel tiles."
        ) from error
    if not (device.startswith("cuda") or fused_kernels.INTERPRETED):
        raise ConfigError(
            f"The kernel `triton` runs on CUDA devices, not on `{device}`. Use --kernel tiles."
        )
    return fused_kernels


@torch.no_grad()
def fused_double_softmax(
    pairs: Sequence[Pair],
    temperature: float,
    threshold: float,
    similarity: Similarity = "float32",
) -> list[MutualPairs]:
    """What `double_softmax` gives for each pair, up to rounding, on the CPU.

    pairs: (N, D) and (M, D) float32, N and M any and D the same for all, on one CUDA device. A
    tensor that is in several pairs is stacked once.
    In float32, P is off by up to about 1e-5 of itself: nearly equal entries may change places.
    Where exp(s) might leave float32 (|s| >= 40; SiLK has 20) and where a pair does not fit into a
    launch, `double_softmax` does the work.
    Raises ConfigError for descriptors of different lengths D, and as `load_kernels`.
    """
    if not pairs:
        return []
    kernels = load_kernels(str(pairs[0][0].device))
    stacked = _Stacked(pairs, similarity)
    blocks = blocks_for(stacked.vectors.shape[1], stacked.vectors.dtype)
    found: dict[int, MutualPairs] = {}
    if stacked.largest_product() / temperature < LARGEST_PLAIN:
        for launch in _launches(pairs, blocks):
            sides = _sides([pairs[i] for i in launch], stacked, blocks)
            values, places = _run(kernels, stacked, sides, blocks, LOG2_E / temperature)
            found |= zip(launch, _mutual(values, places, sides, threshold), strict=True)
    for number, (a, b) in enumerate(pairs):
        if number not in found:
            found[number] = _on_cpu(double_softmax(a, b, temperature, threshold, similarity))
    return [found[number] for number in range(len(pairs))]


class _Stacked:
    """The distinct images of some pairs in one tensor.

    vectors: (V, S) in the numbers of the product; S is D, filled up with zeros to a power of two
        as tiles need it; a block of zeros at the end may be read by the last image's tiles
    firsts: where each image begins, by the `id` of its tensor
    """

    def __init__(self, pairs: Sequence[Pair], similarity: Similarity) -> None:
        images = list({id(image): image for pair in pairs for image in pair}.values())
        sizes = {image.shape[1] for image in images}
        if len(sizes) > 1:
            raise ConfigError(
                f"descriptors have {sorted(sizes)} numbers; match only images of one extractor."
            )
        ends = np.cumsum([0, *map(len, images)])
        self.firsts = dict(zip(map(id, images), ends.tolist(), strict=False))
        size, n_vectors = sizes.pop(), int(ends[-1])
        width = max(FEWEST_NUMBERS, 1 << (size - 1).bit_length())
        dtype = getattr(torch, similarity)
        self.vectors = images[0].new_zeros(n_vectors + LONGEST_BLOCK, width, dtype=dtype)
        self.vectors[:n_vectors, :size] = torch.cat(images)

    def largest_product(self) -> float:
        """A bound of all dot products; waits for the device."""
        return float(self.vectors.norm(dim=1, dtype=torch.float32).max()) ** 2


def _launches(pairs: Sequence[Pair], blocks: Blocks) -> Iterator[list[int]]:
    """Numbers of pairs whose partial results fit into LAUNCH_BYTES together.

    A pair with an empty image and one that does not fit alone are in no launch.
    """
    launch: list[int] = []
    filled = 0
    for number, (a, b) in enumerate(pairs):
        n_partial = len(a) * -(-len(b) // SPAN) + len(b) * -(-len(a) // blocks.rows)
        n_bytes = n_partial * PARTIAL_BYTES
        if not 0 < n_bytes <= LAUNCH_BYTES:
            continue
        if launch and (filled + n_bytes > LAUNCH_BYTES or len(launch) == MOST_PAIRS):
            yield launch
            launch, filled = [], 0
        launch.append(number)
        filled += n_bytes
    if launch:
        yield launch


def _sides(pairs: Sequence[Pair], stacked: _Stacked, blocks: Blocks) -> torch.Tensor:
    """(2 P, 5) int64, the fields of `fused_kernels` for images a and b of each pair."""
    lengths = np.array([[len(a), len(b)] for a, b in pairs])
    n_partials = np.stack([-(-lengths[:, 1] // SPAN), -(-lengths[:, 0] // blocks.rows)], axis=1)
    firsts = [stacked.firsts[id(image)] for pair in pairs for image in pair]
    results, partials = lengths.ravel(), (lengths * n_partials).ravel()
    fields = (
        firsts,
        results,
        results.cumsum() - results,
        partials.cumsum() - partials,
        n_partials.ravel(),
    )
    return torch.from_numpy(np.stack(fields, axis=1))


def _run(
    kernels: ModuleType, stacked: _Stacked, sides: torch.Tensor, blocks: Blocks, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest log2 P of every descriptor of `sides`, float32, and where in the other image, int32.

    scale: turns a dot product into the exponent of 2
    """
    vectors = stacked.vectors
    if kernels.INTERPRETED:  # numpy has no bfloat16: Triton 3.9 would multiply its bits
        vectors = vectors.float()
    lengths = sides[:, 1]
    grid = (
        -(-int(lengths[::2].max()) // blocks.rows),
        -(-int(lengths[1::2].max()) // SPAN),
        len(sides) // 2,
    )
    lines = (-(-int(lengths.max()) // LINE), len(sides))
    n_results, n_partials = int(lengths.sum()), int((lengths * sides[:, 4]).sum())
    cut = {
        "SIZE": vectors.shape[1],
        "STEP": blocks.step,
        "ROWS": blocks.rows,
        "COLUMNS": blocks.columns,
        "SPAN": SPAN,
        "num_stages": blocks.stages,
        **COMPILED,
    }
    on_device = sides.to(vectors.device)
    values = vectors.new_empty(n_results, dtype=torch.float32)
    places = vectors.new_empty(n_results, dtype=torch.int32)
    partials = vectors.new_empty(n_partials, dtype=torch.float32)
    partial_places = vectors.new_empty(n_partials, dtype=torch.int32)
    logs = torch.empty_like(values)
    with torch.cuda.device_of(vectors):  # type: ignore[no-untyped-call]  # where Triton launches
        kernels.exponential_sums[grid](vectors, on_device, partials, scale, **cut)
        kernels.logs_of_sums[lines](on_device, partials, logs, LINE=LINE, **COMPILED)
        kernels.best_entries[grid](vectors, on_device, logs, partials, partial_places, scale, **cut)
        kernels.first_best[lines](
            on_device, partials, partial_places, values, places, LINE=LINE, **COMPILED
        )
    return values, places


def _mutual(
    values: torch.Tensor, places: torch.Tensor, sides: torch.Tensor, threshold: float
) -> list[MutualPairs]:
    """Of each pair the entries that are the best of both sides, P above `threshold`; on the CPU.

    values, places: as from `_run`. Nothing but what is found leaves the device, once for all pairs.
    """
    lengths, starts = sides[:, 1], sides[:, 2]
    others = starts.view(-1, 2).flip(1).ravel()
    is_a = torch.arange(len(sides)) % 2 == 0
    each = torch.stack([starts, others, is_a.long()], dim=1).to(values.device)
    each = each.repeat_interleave(lengths.to(values.device), dim=0, output_size=len(values))
    own, other, of_a = each.unbind(dim=1)  # (R,) each
    here = torch.arange(len(values), device=values.device) - own
    probability = values.exp2().clamp_(max=1)  # rounding can make it larger
    is_mutual = places[other + places] == here
    kept = (is_mutual & (of_a == 1) & (probability > threshold)).nonzero().squeeze(1)
    entries = torch.stack([kept, here[kept], places[kept]]).cpu()  # (3, K) int64
    found = MutualPairs(entries[1], entries[2], probability[kept].cpu())
    bounds = torch.searchsorted(entries[0], starts[::2].contiguous()).tolist()
    return [found.select(slice(*ends)) for ends in pairwise([*bounds, len(kept)])]


def _on_cpu(pairs: MutualPairs) -> MutualPairs:
    return MutualPairs(pairs.rows.cpu(), pairs.columns.cpu(), pairs.values.cpu())

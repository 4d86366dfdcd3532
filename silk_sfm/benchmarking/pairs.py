"""Pair lists of 100,000 images: seconds and memory, beside hloc's matrix of all similarities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from silk_sfm.benchmarking.figures import Figure, Scope, seconds
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.matching.alike import most_alike
from silk_sfm.stages.pair import ImageSource, PairOptions, write_pairs

VECTOR_SIZE = 256
N_SIMILAR = 20
AREA_M = 5000.0
DENSE = "hloc's way: the matrix of all similarities"


def figures(scope: Scope) -> Iterator[Figure]:
    """Sequential, spatial, retrieval by given vectors; then retrieval beside the whole matrix."""
    n_images = 200 if scope.quick else 100_000
    made = write_inputs(scope.folder, n_images)
    for pairing, what in {
        "sequential": "sequential, quadratic, with loops",
        "spatial": "spatial, 20 nearest of positions in a file",
        "retrieval": f"retrieval, 20 most alike of given vectors ({VECTOR_SIZE})",
        "sequential+spatial+retrieval": "all three joined",
    }.items():
        work = partial(write_list, scope.folder / "pairs.txt", pairing)
        name = f"pair list of {n_images} images, {what}"
        yield Figure(name, "s", seconds(partial(work, made)), max_repeats=1)
        memory = peak_above_inputs_mb(partial(_inputs, made), work)
        yield Figure(f"memory of a {name}", "MB", memory, max_repeats=1)
    yield from _beside_the_matrix(150 if scope.quick else 10_000)


def write_inputs(folder: Path, n_images: int) -> Path:
    """Write positions.txt (metres) and vectors.npz of `n_images` images; returns the folder."""
    rng = np.random.default_rng(0)
    names = [f"flight/{i:06d}.jpg" for i in range(n_images)]
    places = rng.uniform(0, AREA_M, (n_images, 2))
    lines = (f"{name} {x:.2f} {y:.2f}\n" for name, (x, y) in zip(names, places, strict=True))
    (folder / "positions.txt").write_text("".join(lines))
    vectors = rng.normal(size=(n_images, VECTOR_SIZE)).astype(np.float32)
    np.savez(folder / "vectors.npz", names=np.array(names), descriptors=vectors)
    return folder


def write_list(path: Path, pairing: str, made: Path) -> None:
    """The work of `silk-sfm pairs` on the images of `write_inputs`."""
    with np.load(made / "vectors.npz") as file:
        names = file["names"].tolist()
    options = PairOptions(
        pairing=pairing,
        quadratic=True,
        loop_every=1000,
        positions=made / "positions.txt",
        position_unit="metres",
        similar=N_SIMILAR,
        retrieval_by="file",
        global_descriptors=made / "vectors.npz",
    )
    write_pairs(path, ImageSource(names), options)


def _beside_the_matrix(n_images: int) -> Iterator[Figure]:
    inputs = partial(random_vectors, n_images)
    vectors = random_vectors(n_images)
    name = f"{N_SIMILAR} most alike of {n_images} vectors"
    yield Figure(name, "s", _timed(in_tiles, vectors), _timed(whole_matrix, vectors), DENSE)
    yield Figure(
        f"memory of the {name}",
        "MB",
        peak_above_inputs_mb(inputs, in_tiles),
        peak_above_inputs_mb(inputs, whole_matrix),
        DENSE,
        max_repeats=1,
    )


def _timed(work: Callable[..., object], inputs: tuple[torch.Tensor]) -> Callable[[], float]:
    return seconds(partial(work, *inputs))


def random_vectors(n_images: int) -> tuple[torch.Tensor]:
    """(N, 256) float32."""
    return (torch.randn(n_images, VECTOR_SIZE, generator=torch.Generator().manual_seed(0)),)


def in_tiles(vectors: torch.Tensor) -> torch.Tensor:
    """Our way."""
    return most_alike(vectors, torch.arange(len(vectors)), N_SIMILAR)


def whole_matrix(vectors: torch.Tensor) -> torch.Tensor:
    """As hloc's `pairs_from_retrieval`: all similarities, those with itself masked, `topk`."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    return similarity.topk(N_SIMILAR, dim=1).indices


def _inputs(made: Path) -> tuple[Path]:
    return (made,)

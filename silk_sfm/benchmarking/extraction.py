"""SiLK on one image, beside the plain network; seconds and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from silk_sfm.benchmarking.figures import Figure, Scope, seconds
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.detection import DetectionOptions
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import WeightsCard, save_silk
from silk_sfm.stages.machine import instruction_sets

SIZES = ((640, 480), (480, 269))
"""(width, height) in pixels; the second is that of the authors' figures."""
DETECTION = DetectionOptions(nms_radius=0, top_k=10_000, refine=False)
"""What the original code does when it is not told otherwise."""
PLAIN = "plain float32 forward pass, descriptors everywhere"
LARGE = (8660, 5774)
"""50 megapixels."""


def figures(scope: Scope) -> Iterator[Figure]:
    """The default and the smallest network at two sizes; memory of a very large photo."""
    sizes = [(160, 120)] if scope.quick else SIZES
    for name in ("pvgg-4", "pvgg-micro"):
        weights = _untrained(name, scope.folder)
        plain = _plain(weights, scope.device)
        for size in sizes:
            image = textured(size)
            for arithmetic in _arithmetics(scope.device):
                silk = Silk(_options(weights, arithmetic), scope.device)
                yield Figure(
                    f"{name} at {size[0]} x {size[1]}, {arithmetic}",
                    "s",
                    seconds(partial(silk, image)),
                    seconds(partial(plain, image)),
                    PLAIN,
                )
    if scope.device == "cpu":
        yield _memory(scope)


def textured(size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 grey in 0..1 of (width, height) pixels, detailed everywhere."""
    width, height = size
    noise = np.random.default_rng(0).random((height, width), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray((smooth - smooth.min()) / np.ptp(smooth))


def extract_large(weights: str, size: tuple[int, int]) -> None:
    """Features of a textured image of (width, height) pixels with the default options."""
    Silk(SilkOptions(weights=weights))(textured(size))


def _memory(scope: Scope) -> Figure:
    """The process also holds the image, the libraries and the network: all of it is counted."""
    size = (1600, 1300) if scope.quick else LARGE
    weights = str(_untrained("pvgg-4", scope.folder))
    megapixels = size[0] * size[1] / 1e6
    return Figure(
        f"memory of pvgg-4 at {megapixels:.0f} megapixels",
        "MB",
        peak_above_inputs_mb(partial(tuple, (weights, size)), extract_large),
        max_repeats=1,
        note="resident memory of extraction and image, beyond that of Python and its libraries",
    )


def _arithmetics(device: str) -> tuple[str, ...]:
    """bfloat16 only where there is hardware for it."""
    has_it = device != "cpu" or {"avx512_bf16", "amx_bf16", "bf16"} & set(instruction_sets())
    return ("float32", "bfloat16") if has_it else ("float32",)


def _untrained(name: str, folder: Path) -> Path:
    """Weights of this shape; how long they take does not depend on their values."""
    path = folder / f"{name}.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_silk(
            SilkNetwork(ARCHITECTURES[name]).eval(), path, WeightsCard(0, "Apache-2.0", "none")
        )
    return path


def _options(weights: Path, arithmetic: str) -> SilkOptions:
    return SilkOptions(
        nms_radius=DETECTION.nms_radius,
        top_k=DETECTION.top_k,
        refine=DETECTION.refine,
        weights=str(weights),
        arithmetic=arithmetic,  # type: ignore[arg-type]
    )


def _plain(weights: Path, device: str) -> Callable[[np.ndarray], object]:
    """Keypoints and descriptors as the original computes them: the whole network, then a choice."""
    network = Silk(_options(weights, "float32"), device).network
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def extract(image: np.ndarray) -> object:
        with torch.inference_mode():
            pixels = torch.tensor(image, device=device)[None, None]
            look = network.look(pixels, DETECTION)
            return [each.cpu() for each in (look.sparse_positions[0], look.sparse_descriptors[0])]

    return extract

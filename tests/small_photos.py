"""Small photos and small weights: a whole pipeline in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import WeightsCard, save_silk


def write_small_photos(folder: Path, n_images: int, size: tuple[int, int] = (160, 120)) -> None:
    """Overlapping windows of one large random texture, as PNG."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (60, 120)).astype(np.float32)
    texture = cv2.resize(coarse, (1200, 600), interpolation=cv2.INTER_CUBIC)
    texture = np.clip(texture + rng.normal(0, 12, texture.shape), 0, 255).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    for index in range(n_images):
        x, y = (6 * index) % (texture.shape[1] - width), (11 * index) % 60
        cv2.imwrite(str(folder / f"{index:03d}.png"), texture[y : y + height, x : x + width])


def write_small_weights(path: Path) -> None:
    """pvgg-micro with random weights."""
    torch.manual_seed(0)
    network = SilkNetwork(ARCHITECTURES["pvgg-micro"]).eval()
    save_silk(network, path, WeightsCard(training_padding=0, licence="none", training="random"))

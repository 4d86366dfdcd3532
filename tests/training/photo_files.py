"""Photos with a known pattern, for trainings of seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from silk_sfm.training.stack import PhotoStack, stack_photos


def write_photos(
    folder: Path, n: int, size: tuple[int, int] = (96, 80), first_seed: int = 0
) -> None:
    """Colour photos of random blobs, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(n):
        rng = np.random.default_rng(first_seed + index)
        coarse = rng.uniform(0, 255, (size[1] // 5, size[0] // 5, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
        noisy = smooth + rng.normal(0, 10, smooth.shape)
        cv2.imwrite(str(folder / f"{index:02d}.png"), np.clip(noisy, 0, 255).astype(np.uint8))


def blob_stack(n: int) -> PhotoStack:
    """A stack of random blobs."""
    noise = torch.rand(n, 3, 18, 20, generator=torch.Generator().manual_seed(0))
    photos = torch.nn.functional.interpolate(noise, scale_factor=5, mode="bicubic")
    return stack_photos([*(photos.clamp(0, 1) * 255).to(torch.uint8)])


def waves(width: int, height: int) -> torch.Tensor:
    """(3, H, W) uint8: smooth waves, whose value at any real place `wave_at` knows."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    values = np.stack([wave_at(x, y, channel) for channel in range(3)])
    return torch.from_numpy(np.rint(values * 255).astype(np.uint8))


def wave_at(x: np.ndarray, y: np.ndarray, channel: int) -> np.ndarray:
    """0..1."""
    return np.asarray(0.5 + 0.2 * np.sin(x / (9 + channel)) + 0.2 * np.cos(y / (11 + channel)))


def wave_stack(*sizes: tuple[int, int]) -> PhotoStack:
    """A stack of waves of these (width, height)."""
    return stack_photos([waves(*size) for size in sizes])

"""What the original codes of other methods returned: recorded arrays, images and made weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from shared_data import shared
from torch import Tensor

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@cache
def recorded(folder: str, name: str) -> dict[str, np.ndarray]:
    """The arrays of one recorded file."""
    return dict(np.load(shared("reference_others", folder, f"{name}.npz")))


def rgb(name: str) -> np.ndarray:
    """(H, W, 3) float32 RGB in 0..1."""
    path = shared("reference_others", "images", f"{name}.png")
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1], np.float32) / 255


def grey(name: str) -> np.ndarray:
    """(H, W) float32 grey in 0..1, as it was recorded."""
    path = shared("reference_others", "images", f"{name}_gray.png")
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.float32) / 255


@cache
def made_weights(folder: str, name: str) -> dict[str, Tensor]:
    """Random weights that a recipe defines instead of storing them, each checked by its SHA-256."""
    recipe = json.loads(
        shared("reference_others", folder, f"weights_recipe_{name}.json").read_text()
    )
    tensors = recipe["tensors"].items()
    return {name: _tensor(recipe["salt"] + name, entry) for name, entry in tensors}


def _tensor(text: str, entry: Mapping[str, Any]) -> Tensor:
    if "lo" not in entry:
        return torch.zeros(entry["shape"], dtype=torch.int64)
    unit = _uniform(_fnv1a(text.encode()), int(np.prod(entry["shape"])))
    low, high = entry["lo"], entry["hi"]
    values = (low + (high - low) * unit).astype("<f4").reshape(entry["shape"])
    assert hashlib.sha256(values.tobytes()).hexdigest() == entry["sha256"]
    return torch.from_numpy(values)


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def _uniform(seed: int, count: int) -> np.ndarray:
    """`count` float64 numbers in [0, 1): the splitmix64 stream of a seed, its top 24 bits."""
    with np.errstate(over="ignore"):
        state = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        state ^= state >> np.uint64(30)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(27)
        state *= np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(40)).astype(np.float64) / 2**24

"""Photometric augmentation: what light, camera and file do to the views of a training pair."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from silk_sfm.training.photometric.batches import Photometric
from silk_sfm.training.photometric.camera import Camera, CameraOptions
from silk_sfm.training.photometric.grey import training_grey
from silk_sfm.training.photometric.mixed import Mixed, MixedOptions
from silk_sfm.training.photometric.rgb import Rgb, RgbOptions
from silk_sfm.training.photometric.superpoint import SuperPointLike, SuperPointLikeOptions

__all__ = [
    "Camera",
    "CameraOptions",
    "Mixed",
    "MixedOptions",
    "Photometric",
    "PhotometricName",
    "Rgb",
    "RgbOptions",
    "SuperPointLike",
    "SuperPointLikeOptions",
    "photometric",
    "training_grey",
]

PhotometricName = Literal["none", "rgb", "superpoint", "mixed", "camera"]


def photometric(name: PhotometricName, camera: CameraOptions | None = None) -> Photometric:
    """An augmentation; the published ones as they were published.

    none: images as they are
    rgb: what SiLK was trained with for pose estimation (arXiv 2304.06194, sections 4.3 and 4.4.1)
    superpoint: what SiLK was trained with for homographies (section 4.2); leaves 0..1
    camera: what a scene goes through on the way to two files, as strongly as `camera` says
    mixed: either of them by a coin, then shading and JPEG; stays in 0..1
    """
    named: dict[PhotometricName, Photometric] = {
        "none": _unchanged,
        "rgb": Rgb(),
        "superpoint": SuperPointLike(),
        "mixed": Mixed(),
        "camera": Camera(camera or CameraOptions()),
    }
    return named[name]


def _unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    return images

"""Every installed extractor with weights that cost nothing, for what all extractors promise.

Networks without weights in the package get random ones: good for shapes, frames, determinism and
what a shifted image changes; where the keypoints of a scaled image lie needs trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kornia.feature
import numpy as np
import torch
from kornia.feature import XFeat as XFeatNetwork
from shared_data import SHARED
from torch import nn

from silk_sfm import plugins
from silk_sfm.nn.kp2d import VARIANTS, KeypointNet
from silk_sfm.nn.msnet import MsNetV0
from silk_sfm.nn.r2d2 import R2d2Network
from silk_sfm.nn.superpoint import SuperPointNetwork

R2D2_WEIGHTS = SHARED / "reference_others" / "weights" / "r2d2_WASF_N16.pt"


@dataclass(frozen=True)
class Case:
    """How to make one extractor.

    options: its options as plain values; weights that are needed are written to the folder given
    follows_shifts: is a keypoint decided by what is near it alone? Not so with statistics over the
        whole image, or resampled levels of it
    scaled: other options for a scaled image; None when its weights know no repeatable places
    knows_blank: does it tell one colour from an image? Some random networks find their own borders
    """

    options: Callable[[Path], Mapping[str, Any]]
    follows_shifts: bool = True
    scaled: Mapping[str, Any] | None = None
    knows_blank: bool = True


def saved(network: nn.Module, path: Path, seed: int = 0, part: str = "") -> str:
    """The path of a checkpoint of a network with random weights."""
    torch.manual_seed(seed)
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    state = network.state_dict()
    torch.save({part: state} if part else state, path)
    return str(path)


def superpoint(folder: Path) -> dict[str, Any]:
    return {"weights": saved(SuperPointNetwork(True), folder / "superpoint.pth"), "top_k": 0}


def kp2d(folder: Path) -> dict[str, Any]:
    weights = saved(KeypointNet(VARIANTS["v4"]), folder / "kp2d.ckpt")
    return {"weights": weights, "top_k": 0, "sampling": "half-pixel"}


def r2d2(folder: Path) -> dict[str, Any]:
    if R2D2_WEIGHTS.exists():
        return {"weights": str(R2D2_WEIGHTS), "top_k": 0}
    weights = saved(R2d2Network(), folder / "r2d2.pt", part="state_dict")
    return {"weights": weights, "top_k": 0, "repeatability": 0.0, "reliability": 0.0}


def msnet(folder: Path) -> dict[str, Any]:
    weights = saved(MsNetV0(), folder / "msnet.pth")
    return {"weights": weights, "top_k": 0, "quantile": 0.5}


def aliked(folder: Path) -> dict[str, Any]:
    network = kornia.feature.ALIKED("aliked-t16")
    weights = saved(network, folder / "aliked.pth")
    return {"model": "aliked-t16", "weights": weights, "top_k": 0, "threshold": 0.0}


def disk(folder: Path) -> dict[str, Any]:
    weights = saved(kornia.feature.DISK(), folder / "disk.pth", part="extractor")
    return {"weights": weights, "top_k": 300}


def xfeat(folder: Path) -> dict[str, Any]:
    weights = saved(XFeatNetwork().net, folder / "xfeat.pt")
    return {"weights": weights, "top_k": 300, "threshold": 0.0}


def dedode(folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)  # it is made with random weights; to draw 28 million again takes long
    network = kornia.feature.DeDoDe("L", "B", amp_dtype=torch.float32)
    paths = {name: folder / f"{name}.pth" for name in ("detector", "descriptor")}
    for name, path in paths.items():
        torch.save(getattr(network, name).state_dict(), path)
    return {**{f"{name}_weights": str(path) for name, path in paths.items()}, "top_k": 300}


def keynet(folder: Path) -> dict[str, Any]:
    detector = kornia.feature.KeyNet(pretrained=False)
    return {
        "weights": saved(detector, folder / "keynet.pth", 2, "state_dict"),
        "descriptor_weights": saved(
            kornia.feature.HardNet(pretrained=False), folder / "hardnet.pth", part="state_dict"
        ),
        "upright": True,
        "top_k": 300,
    }


def nothing(_: Path) -> dict[str, Any]:
    return {}


CASES: Mapping[str, Case] = {
    "silk": Case(lambda folder: {"top_k": 0, "threshold": 0.0}, scaled={"threshold": 0.1}),
    "sift": Case(nothing, scaled={}),
    "daisy": Case(nothing, scaled={}),
    "orb": Case(nothing, follows_shifts=False, scaled={}),
    "colmap-sift": Case(nothing, scaled={}),
    "superpoint": Case(superpoint),
    "kp2d": Case(kp2d),
    "r2d2": Case(r2d2, scaled={"smallest_side": 60} if R2D2_WEIGHTS.exists() else None),
    "msnet": Case(msnet, scaled={"quantile": 0.9}),
    "aliked": Case(aliked, knows_blank=False),
    "disk": Case(disk, follows_shifts=False, knows_blank=False),
    "xfeat": Case(xfeat, follows_shifts=False),
    "dedode": Case(dedode, follows_shifts=False, knows_blank=False),
    "keynet": Case(keynet, follows_shifts=False),
}


def make(name: str, folder: Path, changes: Mapping[str, Any]) -> Any:
    """The extractor, ready to be called, with `changes` of its case's options."""
    plugin = plugins.load("extractors", name)
    return plugin(plugin.Options(**{**CASES[name].options(folder), **changes}), "cpu")


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) float32: rectangles of all sizes and colours on a soft pattern, full of corners."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = 0.5 + 0.1 * np.stack(
        [np.sin(x / a) * np.cos(y / b) for a, b in ((7, 9), (11, 6), (8, 8))]
    )
    image = np.moveaxis(image, 0, 2)
    for _ in range(height * width // 150):
        top, left = rng.integers(0, height), rng.integers(0, width)
        tall, wide = rng.integers(3, 24, 2)
        image[top : top + tall, left : left + wide] = rng.random(3)
    return np.asarray(image, np.float32)

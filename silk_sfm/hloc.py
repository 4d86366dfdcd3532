"""The extractors and matchers of silk-sfm in hloc: `import silk_sfm.hloc`, then choose one by conf.

hloc finds a model by its module, `hloc.extractors.NAME` or `hloc.matchers.NAME`. Importing this
module puts one there for each installed plug-in, under `silk_sfm_NAME`, and under NAME where hloc
has none of its own. The options of the plug-in are keys of the conf. hloc does not tell a matcher
where features come from: `lightglue` needs its option `features` there.
"""

from __future__ import annotations

import zlib  # noqa: F401  before pycolmap, which hloc imports and which has one of its own
from dataclasses import dataclass
from importlib.util import find_spec
from sys import modules
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from silk_sfm import plugins
from silk_sfm.errors import PluginError, StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.images import grey
from silk_sfm.options import structure
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.extract import ExtractionOptions

try:
    from hloc.utils.base_model import BaseModel
except ImportError as error:
    raise PluginError(
        f"hloc cannot be imported ({error}). Get it with `git clone --recursive "
        "https://github.com/cvg/Hierarchical-Localization` and `pip install` that folder."
    ) from error

Conf = dict[str, Any]
PREFIX = "silk_sfm_"
LARGEST_INDEX = 32767
"""hloc writes matches as int16, and larger indices would wrap around."""
KEYS = ("keypoints", "scores", "descriptors", "scales", "oris")
"""Datasets of an image in a feature file of hloc; the last two only of some methods."""


@dataclass(frozen=True)
class Confs:
    """Ready confs for `hloc.extract_features.main` and `hloc.match_features.main`, by plug-in."""

    extractors: dict[str, Conf]
    matchers: dict[str, Conf]


class ExtractorModel(BaseModel):  # type: ignore[misc]
    """An extractor plug-in as a model of hloc; a subclass names the plug-in."""

    plugin: ClassVar[str]
    required_inputs: ClassVar[list[str]] = ["image"]

    def _init(self, conf: Conf) -> None:
        self._extractor = _make("extractors", self.plugin, conf)

    def _forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image`: (1, 1 or 3, H, W) float32 in 0..1."""
        found: LocalFeatures = self._extractor(_pixels(data["image"][0], self._extractor.channels))
        self.detection_noise = found.uncertainty  # hloc reads it after each image
        arrays = {
            "keypoints": found.keypoints,
            "scores": found.scores,
            "descriptors": np.ascontiguousarray(found.descriptors.T),  # (D, N)
            "scales": found.scales,
            "oris": found.orientations,
        }
        return {
            key: torch.from_numpy(array)[None] for key, array in arrays.items() if array is not None
        }


class MatcherModel(BaseModel):  # type: ignore[misc]
    """A matcher plug-in as a model of hloc; a subclass names the plug-in."""

    plugin: ClassVar[str]
    required_inputs: ClassVar[list[str]] = [
        *("image0", "keypoints0", "descriptors0"),
        *("image1", "keypoints1", "descriptors1"),
    ]

    def _init(self, conf: Conf) -> None:
        self._matcher = _make("matchers", self.plugin, conf)

    def _forward(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of `image0` and `image1` only the sizes count, as hloc gives them."""
        a, b = (_features(data, suffix) for suffix in "01")
        if len(b) > LARGEST_INDEX + 1:
            raise StoreError(
                f"hloc stores matches as int16, and the second image has {len(b)} keypoints. "
                "Extract fewer, or match with `silk-sfm match`."
            )
        found: Matches = self._matcher(a, b)
        matches0 = np.full(len(a), -1, np.int64)
        scores0 = np.zeros(len(a), np.float32)
        matches0[found.indices[:, 0]] = found.indices[:, 1]
        scores0[found.indices[:, 0]] = found.scores
        arrays = {"matches0": matches0, "matching_scores0": scores0}
        return {key: torch.from_numpy(array)[None] for key, array in arrays.items()}


def register() -> Confs:
    """Make every installed plug-in a module of hloc; returns a conf for each."""
    size = ExtractionOptions().max_size
    found = Confs({}, {})
    for name in plugins.names("extractors"):
        module = _register("hloc.extractors", name, ExtractorModel)
        found.extractors[name] = {
            "output": f"feats-{PREFIX}{name}",
            "model": {"name": module},
            # SiLK makes grey from colours itself: hloc would round it to 8 bits
            "preprocessing": {"grayscale": False, "resize_max": size},
        }
    for name in plugins.names("matchers"):
        module = _register("hloc.matchers", name, MatcherModel)
        found.matchers[name] = {"output": f"matches-{PREFIX}{name}", "model": {"name": module}}
    return found


def _register(package: str, name: str, base: type[Any]) -> str:
    """Put a class for the plug-in where hloc looks for it; returns the name to look for."""
    known = [PREFIX + name]
    if _is_free(f"{package}.{name}"):
        known.append(name)
    for chosen in known:
        path = f"{package}.{chosen}"
        module = ModuleType(path, f"{name} of silk-sfm")
        setattr(module, base.__name__, type(base.__name__, (base,), _members(name, path)))
        modules[path] = module
    return known[-1]


def _is_free(path: str) -> bool:
    """Has hloc no module of this name? One of ours, from an import before, has no `__spec__`."""
    is_ours = path in modules and modules[path].__spec__ is None
    return is_ours or find_spec(path) is None


def _members(name: str, path: str) -> dict[str, str]:
    return {"plugin": name, "__module__": path, "__doc__": f"`{name}` of silk-sfm."}


def _make(kind: plugins.Kind, name: str, conf: Conf) -> Any:
    values = {key: value for key, value in conf.items() if key != "name"}
    options = structure(plugins.load(kind, name).Options, values, f"hloc conf of `{name}`")
    device = "cuda" if torch.cuda.is_available() else "cpu"  # as hloc chooses it
    return Chosen(name, options).make(kind, device)


def _pixels(image: Tensor, channels: str) -> np.ndarray:
    """(1 or 3, H, W) -> (H, W) grey or (H, W, 3) RGB, as the extractor wants it."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    if channels == "rgb":
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return np.ascontiguousarray(pixels[:, :, 0]) if pixels.shape[2] == 1 else grey(pixels)


def _features(data: dict[str, Tensor], suffix: str) -> LocalFeatures:
    """The features of one image of a batch of one, as hloc's loader gives them."""
    arrays = {key: data[key + suffix][0].cpu().numpy() for key in KEYS if key + suffix in data}
    height, width = data["image" + suffix].shape[-2:]
    keypoints = arrays["keypoints"][:, :2]
    return LocalFeatures(
        keypoints=keypoints,
        scores=arrays.get("scores", np.zeros(len(keypoints), np.float32)),
        descriptors=np.ascontiguousarray(arrays["descriptors"].T),
        image_size=(width, height),
        scales=arrays.get("scales"),
        orientations=arrays.get("oris"),
    )


confs = register()

"""AdaLAM through kornia: nearest neighbours whose neighbourhoods move together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from kornia.feature.adalam.adalam import AdalamFilter, get_adalam_default_config
from torch import Tensor
from torch.nn.functional import normalize

from silk_sfm.errors import ConfigError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.inputs import descriptor_tensors
from silk_sfm.options import check_at_least
from silk_sfm.plugins import About


@dataclass(frozen=True)
class AdalamOptions:
    """How many neighbours must agree, and how well; names and defaults are the authors'."""

    area_ratio: int = 100
    """Area of the image / area of a neighbourhood: larger looks closer around."""
    search_expansion: int = 4
    """Matches up to this many radii away support a neighbourhood."""
    ransac_iters: int = 128
    """Samples for the affine map of a neighbourhood."""
    min_inliers: int = 6
    """Fewest matches that must agree on an affine map."""
    min_confidence: int = 200
    """Fewest times more matches agree than would by chance."""
    orientation_difference_threshold: float = 30.0
    """Degrees by which keypoints may turn otherwise than their seed; not used where the features
    have no orientations."""
    scale_rate_threshold: float = 1.5
    """Factor by which keypoints may grow otherwise than their seed; not used where the features
    have no scales."""
    seed: int = 0
    """Of the random samples; the same for every pair, so that a pair's result does not depend on
    others."""

    def __post_init__(self) -> None:
        for name in ("area_ratio", "search_expansion", "ransac_iters", "min_inliers"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("min_confidence", "orientation_difference_threshold", "scale_rate_threshold"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}.")


class Adalam:
    """Nearest neighbours kept where an affine map explains those around them; score: cosine.

    Holds the matrix of all distances. Of several keypoints with the same neighbour the most similar
    one is kept.
    """

    about: ClassVar[About] = About(
        summary="AdaLAM by kornia: keeps matches whose surroundings move with them",
        licence="Apache-2.0 (kornia); no weights",
        paper="Cavalli, Larsson, Oswald, Sattler, Pollefeys, AdaLAM: Revisiting Handcrafted "
        "Outlier Detection, ECCV 2020, arXiv 2006.04250",
    )
    Options = AdalamOptions

    def __init__(self, options: AdalamOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = device

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """At most one match per keypoint, sorted by the keypoint of image a."""
        if len(a) < 2 or len(b) < 2:
            return Matches.empty()
        rows, columns = map(normalize, descriptor_tensors(a, b, self.device))
        with torch.random.fork_rng(devices=_generators(self.device)):
            torch.manual_seed(self.options.seed)
            found: Any = self._filter(a, b).match_and_filter(
                torch.tensor(a.keypoints),
                torch.tensor(b.keypoints),
                rows,
                columns,
                a.image_size,
                b.image_size,
                _tensor(a.orientations),
                _tensor(b.orientations),
                _tensor(a.scales),
                _tensor(b.scales),
            )
        pairs: Tensor = found
        similarity = (rows[pairs[:, 0]] * columns[pairs[:, 1]]).sum(dim=1)
        return _best_for_each(pairs.cpu().numpy(), similarity.cpu().numpy())

    def _filter(self, a: LocalFeatures, b: LocalFeatures) -> AdalamFilter:
        config: Any = {**get_adalam_default_config(), **vars(self.options)}
        del config["seed"]
        config["device"] = torch.device(self.device)
        if a.orientations is None or b.orientations is None:
            config["orientation_difference_threshold"] = None
        if a.scales is None or b.scales is None:
            config["scale_rate_threshold"] = None
        return AdalamFilter(config)


def _tensor(values: np.ndarray | None) -> Tensor | None:
    return None if values is None else torch.tensor(values)


def _generators(device: str) -> list[torch.device]:
    """CUDA devices whose random state has to come back as it was."""
    return [torch.device(device)] if torch.device(device).type == "cuda" else []


def _best_for_each(pairs: np.ndarray, similarity: np.ndarray) -> Matches:
    """Of (M, 2) pairs with (M,) similarities, the best one for each keypoint of image b."""
    order = np.argsort(-similarity, kind="stable")
    _, first = np.unique(pairs[order, 1], return_index=True)
    kept = order[first]
    kept = kept[np.argsort(pairs[kept, 0], kind="stable")]
    return Matches(pairs[kept].astype(np.int32), similarity[kept].astype(np.float32))

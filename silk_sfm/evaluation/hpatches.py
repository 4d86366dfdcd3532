"""The `hpatches` protocol: one data set, four papers' ways of measuring on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.homography_estimators import EstimatorOptions
from silk_sfm.evaluation.hpatches_files import HPatchesFiles
from silk_sfm.evaluation.hpatches_kp2d import Kp2dStyle
from silk_sfm.evaluation.hpatches_pck import PckStyle
from silk_sfm.evaluation.hpatches_styles import R2d2Style, SilkStyle, Style
from silk_sfm.evaluation.protocol import Job, Predictions, Row


@dataclass(frozen=True)
class HPatchesOptions(EstimatorOptions):
    """Whose tables are made of HPatches, and how homographies are estimated for SiLK's."""

    style: Literal["silk", "kp2d", "r2d2", "pck"] = "silk"
    """silk: repeatability, homography accuracy and AUC, MMA of the SiLK paper; kp2d: repeatability,
    localization error, C1/C3/C5, MScore at 320x240 with 300 points and at 640x480 with 1,000; r2d2:
    MMA at 1 to 10 px, original size, without D2-Net's eight large sequences; pck: Descriptor
    Space's PCK of descriptors at given corners (methods that can describe given points)."""
    short_side: int = 480
    """silk: images are resized to this shorter side, then up to multiples of 8."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.short_side < 8:
            raise ConfigError(f"short_side must be at least 8 pixels, got {self.short_side}.")
        if self.style != "silk" and replace(self, style="silk") != HPatchesOptions():
            raise ConfigError(
                f"The style `{self.style}` prescribes sizes and estimator: leave out estimator, "
                "threshold_px, max_iterations, confidence and short_side, or take style `silk`."
            )


_PRESCRIBED: dict[str, Callable[[HPatchesFiles, Path], Style]] = {
    "kp2d": Kp2dStyle,
    "r2d2": R2d2Style,
    "pck": PckStyle,
}


class HPatches:
    """Keypoints, matches or descriptors on sequences with known homographies."""

    Options: ClassVar[type[HPatchesOptions]] = HPatchesOptions

    def __init__(self, data: Path, out: Path, options: HPatchesOptions) -> None:
        """Raises DatasetError when a sequence lacks something."""
        files = HPatchesFiles.read(data)
        self._style: Style
        if options.style == "silk":
            self._style = SilkStyle(files, out, options, options.short_side)
        else:
            self._style = _PRESCRIBED[options.style](files, out)
        self.title = f"HPatches, {self._style.title}"
        self.published = f"hpatches-{options.style}"

    @property
    def seeded(self) -> bool:
        """Only homographies are estimated by random samples."""
        return self._style.seeded

    def jobs(self) -> list[Job]:
        """One job for each image size."""
        return self._style.jobs()

    def score(self, job: Job, predictions: Predictions, seed: int) -> list[Row]:
        """Rows for all sequences, those of viewpoint and those of illumination."""
        return self._style.score(job, predictions, seed)

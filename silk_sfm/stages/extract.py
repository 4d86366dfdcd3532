"""Images to a feature store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

from silk_sfm.errors import ConfigError, ImageError, PluginError, SilkSfmError
from silk_sfm.extractors.scaled import Scaled
from silk_sfm.extractors.turned import Turned
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder, MaskFolder, Photo
from silk_sfm.options import flattened, result_options
from silk_sfm.plugins import Extractor
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.report import Skipped, StageReport, Track, silent
from silk_sfm.stages.streams import WriteBehind, in_threads
from silk_sfm.store import FeatureWriter, Precision, Provenance

N_READERS = 2
READ_AHEAD = 4


@dataclass(frozen=True)
class ExtractionOptions:
    """How images reach the extractor, and how features are stored."""

    max_size: int | None = 1600
    """Shrink images so that their longer side has at most this many pixels; None keeps the size.
    Keypoints come back in pixels of the file."""
    masks: Path | None = None
    """Folder of masks named as in COLMAP (`photo.jpg.png`); keypoints where one is 0 go."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the image is seen, in (0, 1], largest first, relative to what `max_size`
    leaves; at a scale s the best s of what is found is kept. `1 0.7 0.5` is for photos from
    different distances and methods that match one scale only, such as silk: extraction takes 1.7,
    space 2.2 and matching 5 times as much."""
    turns: bool = False
    """Also describe the keypoints with the image turned by 90, 180 and 270 degrees; matching then
    keeps the turn that fits best. For methods that match upright photos only, such as silk; takes
    four times as long."""
    precision: Precision = "float16"
    """How descriptors are stored. Keypoints are always float32."""

    def __post_init__(self) -> None:
        if self.max_size is not None and self.max_size < 1:
            raise ConfigError(f"max_size must be at least 1 pixel, got {self.max_size}.")
        if not (self.scales and all(0 < scale <= 1 for scale in self.scales)):
            raise ConfigError(f"scales must lie in (0, 1], got {list(self.scales)}.")
        if any(scale <= smaller for scale, smaller in pairwise(self.scales)):
            raise ConfigError(f"scales must become smaller, got {list(self.scales)}.")

    @property
    def has_scales(self) -> bool:
        """Is the image seen at other scales than 1?"""
        return tuple(self.scales) != (1.0,)


def extraction_provenance(
    chosen: Chosen, weights_digest: str, options: ExtractionOptions
) -> Provenance:
    """What decides the content of a feature store."""
    values = {**flattened(result_options(chosen.options)), **result_options(options)}
    return Provenance(chosen.name, values, {"weights": weights_digest} if weights_digest else {})


def extract(
    images: ImageFolder,
    extractor: Extractor,
    store: FeatureWriter,
    options: ExtractionOptions,
    track: Track = silent,
) -> StageReport:
    """Extract features of every image that is not yet in the store.

    Images that cannot be used are skipped and listed in the report.
    """
    check_masks(images, options)
    return extract_block(images, extractor, store, options, track)


def check_masks(images: ImageFolder, options: ExtractionOptions) -> None:
    """Raises ImageError when there are to be masks, and none is named like an image."""
    if options.masks is not None:
        MaskFolder.open(options.masks).check_names(images.names)


def extract_block(
    images: ImageFolder,
    extractor: Extractor,
    store: FeatureWriter,
    options: ExtractionOptions,
    track: Track = silent,
) -> StageReport:
    """`extract` for some images of a folder, none of which needs to have a mask."""
    masks = MaskFolder.open(options.masks) if options.masks else None
    extractor = _as_wanted(extractor, options)
    todo = [name for name in images.names if name not in store]
    read = partial(images.read, channels=extractor.channels, max_side=options.max_size)
    skipped: list[Skipped] = []
    found = 0
    with WriteBehind(store) as behind:
        photos = in_threads(read, todo, N_READERS, READ_AHEAD)
        for name, photo in track(photos, "images", len(todo)):
            try:
                features = _features(name, photo, extractor, masks)
            except ImageError as error:
                skipped.append(Skipped(name, str(error)))
                continue
            found += len(features)
            behind.add(name, features)
    done = len(todo) - len(skipped)
    reused = len(images.names) - len(todo)
    return StageReport("extract", "images", done, reused, found, "keypoints", tuple(skipped))


def _as_wanted(extractor: Extractor, options: ExtractionOptions) -> Extractor:
    """The extractor, looking at the image turned and shrunk where that is asked for."""
    if options.turns:
        extractor = cast("Extractor", Turned(extractor))
    if options.has_scales:
        extractor = cast("Extractor", Scaled(extractor, options.scales))
    return extractor


def _features(
    name: str, photo: Photo | SilkSfmError, extractor: Extractor, masks: MaskFolder | None
) -> LocalFeatures:
    """Features in raw pixels of the file."""
    if isinstance(photo, SilkSfmError):
        raise photo
    try:
        found = extractor(photo.pixels)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:  # a plug-in may fail in any way
        raise PluginError(f"The extractor failed on {name}: {error!r}.") from error
    features = found.in_file(photo.grid)
    if masks is None:
        return features
    return features.select(masks.keeps(name, features.keypoints, photo.grid.raw_size))

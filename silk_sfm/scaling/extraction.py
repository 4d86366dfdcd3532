"""`silk-sfm extract` as work that can be cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from silk_sfm.images import ImageFolder
from silk_sfm.plugins import Extractor
from silk_sfm.scaling.stage import Stage, slices
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.extract import (
    ExtractionOptions,
    check_masks,
    extract_block,
    extraction_provenance,
)
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store import FeatureStore, FeatureWriter
from silk_sfm.store.pieces import Piece


@dataclass(frozen=True)
class ExtractionPlan:
    """Which images, how, where to."""

    images: ImageFolder
    extractor: Chosen
    options: ExtractionOptions
    device: str
    output: Path

    @contextmanager
    def opened(self) -> Iterator[Extraction]:
        """The stage with its extractor made."""
        yield Extraction(self, self.extractor.make("extractors", self.device))

    def on_device(self, device: str) -> ExtractionPlan:
        """The same plan with tensors on `device`."""
        return replace(self, device=device)

    def for_worker(self, device: str, n_cpus: int) -> ExtractionPlan:
        """Without the names, of which there may be millions; threads are the extractor's own."""
        return replace(self, device=device, images=replace(self.images, names=()))


class Extraction(Stage[str, FeatureWriter]):
    """Images to features; an item is the name of an image."""

    label = "images"
    most_in_block = 30

    def __init__(self, plan: ExtractionPlan, extractor: Extractor) -> None:
        self.output = plan.output
        self._plan = plan
        self._extractor = extractor
        self.provenance = extraction_provenance(
            plan.extractor, extractor.weights_digest, plan.options
        )

    def items(self) -> Sequence[str]:
        """The names of all images. Raises ImageError when masks do not fit them."""
        check_masks(self._plan.images, self._plan.options)
        return self._plan.images.names

    def blocks(self, items: Sequence[str], size: int) -> list[list[str]]:
        """Neighbours by name."""
        return slices(items, size)

    def writer(self, overwrite: bool = False, piece: Piece | None = None) -> FeatureWriter:
        """The feature store."""
        precision = self._plan.options.precision
        return FeatureWriter(self.output, self.provenance, overwrite, precision, piece)

    def reader(self) -> FeatureStore:
        """The feature store as it is."""
        return FeatureStore(self.output)

    def is_done(self, item: str, store: FeatureWriter) -> bool:
        """Has the image its features?"""
        return item in store

    def run(self, items: Sequence[str], store: FeatureWriter, track: Track = silent) -> StageReport:
        """Extract the features of these images."""
        images = replace(self._plan.images, names=tuple(items))
        return extract_block(images, self._extractor, store, self._plan.options, track)

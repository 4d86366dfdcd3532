"""What extractors that show an image to another one in their own way have in common."""

from __future__ import annotations

from typing import Literal

from silk_sfm.plugins import About, Extractor


class Wrapped:
    """Tells of the extractor inside what its users ask for."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.about: About = extractor.about
        self.channels: Literal["grey", "rgb"] = extractor.channels
        self.descriptor_size = extractor.descriptor_size
        self.weights_digest = extractor.weights_digest

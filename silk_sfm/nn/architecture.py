"""The five published shapes of the SiLK network (arXiv 2304.06194, supplement)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from silk_sfm.nn.coordinates import Layer, LinearMapping, compose

HEAD_CONVOLUTIONS = 1
CONVOLUTIONS_A_STAGE = 2


@dataclass(frozen=True)
class Architecture:
    """Channel counts of a SiLK network; nothing in it pools, so all maps have full resolution.

    stage_channels: channels of each backbone stage (two 3x3 blocks a stage)
    detector_hidden, descriptor_hidden: channels between the two layers of each head
    descriptor_size: length of a descriptor
    """

    stage_channels: tuple[int, ...]
    detector_hidden: int = 128
    descriptor_hidden: int = 128
    descriptor_size: int = 128

    @property
    def reach(self) -> int:
        """Pixels that an output sees in each direction: its receptive field is 2 reach + 1."""
        return CONVOLUTIONS_A_STAGE * len(self.stage_channels) + HEAD_CONVOLUTIONS

    @property
    def without_size(self) -> Architecture:
        """The same for any size of descriptors, here 0."""
        return replace(self, descriptor_size=0)

    @property
    def receptive_field(self) -> int:
        """Side of the square of pixels that one output depends on."""
        return 2 * self.reach + 1

    def feature_mapping(self, padding: int) -> LinearMapping:
        """From the image to the backbone's feature map."""
        return compose(Layer(3, padding=padding) for _ in range(self.reach - HEAD_CONVOLUTIONS))

    def output_mapping(self, padding: int) -> LinearMapping:
        """From the image to the maps of both heads."""
        return compose(Layer(3, padding=padding) for _ in range(self.reach))


ARCHITECTURES = {
    "pvgg-4": Architecture((64, 64, 128, 128)),
    "pvgg-3": Architecture((64, 128, 128)),
    "pvgg-2": Architecture((128, 128)),
    "pvgg-1": Architecture((128,)),
    "pvgg-micro": Architecture((64,), 32, 32, 32),
}
"""By the names of the paper's analysis."""


def architecture_name(architecture: Architecture) -> str:
    """Its published name, and the size of its descriptors if that differs; else `custom`."""
    for name, known in ARCHITECTURES.items():
        if known == architecture:
            return name
        if known.without_size == architecture.without_size:
            return f"{name} with {architecture.descriptor_size}-d descriptors"
    return "custom"

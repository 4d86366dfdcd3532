"""Where the cells of a feature map lie in the image: linear maps, derived from the layers.

Here, as in the paper, positions are (y, x) with the centre of the first cell at 0.5; that makes a
stride a plain division. Everywhere else in silk-sfm the first pixel's centre is at 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np


@dataclass(frozen=True)
class LinearMapping:
    """feature = scale * image + bias, the same in y and x; first centres at 0.5."""

    scale: float = 1.0
    bias: float = 0.0

    def to_feature(self, yx_image: np.ndarray) -> np.ndarray:
        """(N, 2) image positions -> (N, 2) positions on the feature map."""
        return yx_image * self.scale + self.bias

    def to_image(self, yx_feature: np.ndarray) -> np.ndarray:
        """(N, 2) positions on the feature map -> (N, 2) image positions."""
        return (yx_feature - self.bias) / self.scale

    def then(self, following: LinearMapping) -> LinearMapping:
        """First this mapping, `following` after it."""
        return LinearMapping(
            self.scale * following.scale, self.bias * following.scale + following.bias
        )


@dataclass(frozen=True)
class Layer:
    """A convolution or a pooling: kernel, stride and padding in cells."""

    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def mapping(self) -> LinearMapping:
        """Solves input = stride (feature - 1/2) - padding + kernel / 2, a window's centre."""
        bias = 0.5 + (self.padding - self.kernel / 2) / self.stride
        return LinearMapping(1 / self.stride, bias)


@dataclass(frozen=True)
class Upsampling:
    """Interpolation, or a transposed convolution with kernel = stride, by a whole `factor`."""

    factor: int

    @property
    def mapping(self) -> LinearMapping:
        """The outer corner stays where it is."""
        return LinearMapping(float(self.factor))


def compose(layers: Iterable[Layer | Upsampling]) -> LinearMapping:
    """The mapping of layers that follow one another, first layer first.

    Where a decoder joins maps, follow the path from the image that the maps are cropped to.
    """
    return reduce(LinearMapping.then, (layer.mapping for layer in layers), LinearMapping())

"""Photos in one block of memory, and views taken from it, batched on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 3
"""Each photo is kept at full, half and quarter size, so that views that shrink it do not alias."""

BLOCK = 16
"""Side in pixels of the cells in which the texture of a photo is known."""


@dataclass(frozen=True)
class PhotoStack:
    """Photos of any size as one uint8 tensor, at `LEVELS` sizes each.

    pixels: (P, 3) uint8 RGB, photo after photo, level after level, in row-major order
    starts: (n, LEVELS) int64, row of `pixels` at which a photo's level begins
    sizes: (n, LEVELS, 2) int64, its width and height
    texture: (T,) float32, mean gradient around each block of `BLOCK` pixels, grey levels 0..255 a
        pixel
    texture_starts: (n,) int64 and texture_sizes: (n, 2) int64, alike
    """

    pixels: Tensor
    starts: Tensor
    sizes: Tensor
    texture: Tensor
    texture_starts: Tensor
    texture_sizes: Tensor

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the photos are."""
        return self.pixels.device

    def full_sizes(self, photos: Tensor) -> Tensor:
        """(N,) indices -> (N, 2) float64 width and height."""
        return self.sizes[photos, 0].double()

    def views(self, photos: Tensor, levels: Tensor, positions: Tensor) -> Tensor:
        """Pixels between pixels: (N,) photos, (N,) levels, (N, H, W, 2) x, y -> (N, 3, H, W).

        Positions are pixels of the full photo, (0, 0) the centre of the top-left one; bilinear;
        beyond the border the nearest pixel. Values are float32 in 0..1.
        """
        shrink = 2.0 ** levels.double()[:, None, None]
        size = self.sizes[photos, levels][:, None, None]  # (N, 1, 1, 2)
        x = ((positions[..., 0] + 0.5) / shrink - 0.5).clamp(min=0)
        y = ((positions[..., 1] + 0.5) / shrink - 0.5).clamp(min=0)
        x = torch.minimum(x, size[..., 0] - 1.0)
        y = torch.minimum(y, size[..., 1] - 1.0)
        left, top = x.long(), y.long()
        right = torch.minimum(left + 1, size[..., 0] - 1)
        bottom = torch.minimum(top + 1, size[..., 1] - 1)
        start = self.starts[photos, levels][:, None, None]
        upper, lower = start + top * size[..., 0], start + bottom * size[..., 0]
        along = (x - left).float()[..., None]
        down = (y - top).float()[..., None]
        above = torch.lerp(self._at(upper + left), self._at(upper + right), along)
        below = torch.lerp(self._at(lower + left), self._at(lower + right), along)
        return torch.lerp(above, below, down).permute(0, 3, 1, 2) / 255

    def texture_at(self, photos: Tensor, positions: Tensor) -> Tensor:
        """(N,) photos, (N, 2) x, y in pixels of the full photo -> (N,) texture around them."""
        cells = (positions / BLOCK).long().clamp(min=0)
        cells = torch.minimum(cells, self.texture_sizes[photos] - 1)
        width = self.texture_sizes[photos, 0]
        return self.texture[self.texture_starts[photos] + cells[:, 1] * width + cells[:, 0]]

    def _at(self, rows: Tensor) -> Tensor:
        return self.pixels[rows].float()


def stack_photos(photos: Sequence[Tensor], device: str | torch.device = "cpu") -> PhotoStack:
    """(3, H, W) uint8 RGB each -> a stack on `device`."""
    levels = [_levels(photo) for photo in photos]
    maps = [_texture(photo) for photo in photos]
    flat = [level.flatten(1).T for photo in levels for level in photo]
    counts = torch.tensor([[level[0].numel() for level in photo] for photo in levels])
    ends = counts.flatten().cumsum(0).reshape(counts.shape)
    cells = torch.tensor([known.numel() for known in maps])
    return PhotoStack(
        torch.cat(flat).to(device),
        (ends - counts).to(device),
        torch.tensor([[level.shape[:0:-1] for level in photo] for photo in levels]).to(device),
        torch.cat([known.flatten() for known in maps]).to(device),
        (cells.cumsum(0) - cells).to(device),
        torch.tensor([known.shape[::-1] for known in maps]).to(device),
    )


def _levels(photo: Tensor) -> list[Tensor]:
    """The photo and its halves, each pixel the mean of 2 x 2; odd borders are dropped."""
    levels = [photo]
    for _ in range(LEVELS - 1):
        last = levels[-1].float()
        if min(last.shape[1:]) < 2:
            levels.append(levels[-1])
            continue
        levels.append(functional.avg_pool2d(last[None], 2)[0].round().to(torch.uint8))
    return levels


def _texture(photo: Tensor) -> Tensor:
    """(3, H, W) uint8 -> (h, w) float32: mean gradient of the grey image over 5 x 5 blocks."""
    grey = photo.float().mean(dim=0)
    padded = functional.pad(grey[None, None], (0, 1, 0, 1), mode="replicate")[0, 0]
    change = (padded[:-1, 1:] - grey).abs() + (padded[1:, :-1] - grey).abs()
    blocks = functional.avg_pool2d(change[None, None], BLOCK, ceil_mode=True)
    return functional.avg_pool2d(blocks, 5, 1, 2, count_include_pad=False)[0, 0]

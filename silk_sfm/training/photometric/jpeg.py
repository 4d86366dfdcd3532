"""What JPEG leaves of an image (ITU-T T.81): cosines of 8 x 8 blocks in coarse steps.

Colours keep their resolution; encoders that halve it lose more there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from silk_sfm.training.photometric.batches import constant

BLOCK = 8
MIDDLE = 128
LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Steps of the cosines of luma at quality 50, rows by vertical frequency (T.81, table K.1)."""
CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
"""The same of chroma (T.81, table K.2)."""
TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
"""From RGB (JFIF 1.02)."""
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
"""And back."""


def lose_jpeg(images: Tensor, qualities: Tensor) -> Tensor:
    """RGB (N, 3, H, W) in 0..1 as JPEG keeps it, multiples of 1/255; qualities: (N,) in 1..100."""
    height, width = images.shape[2:]
    padding = (0, -width % BLOCK, 0, -height % BLOCK)
    padded = functional.pad(images, padding, mode="replicate") * 255
    ycbcr = _as_bytes(_recoloured(padded - MIDDLE, TO_YCBCR))
    n_rows, n_columns = ycbcr.shape[2] // BLOCK, ycbcr.shape[3] // BLOCK
    blocks = ycbcr.reshape(-1, 3, n_rows, BLOCK, n_columns, BLOCK)
    cosines = _cosines(images.device)
    steps = quality_steps(qualities)[:, :, None, :, None, :]  # (N, 3, 1, 8, 1, 8)
    spectra = torch.einsum("nchiwj,ui,vj->nchuwv", blocks, cosines, cosines)
    rounded = torch.round(spectra / steps) * steps
    back = torch.einsum("nchuwv,ui,vj->nchiwj", rounded, cosines, cosines)
    rgb = _recoloured(_as_bytes(back.reshape(ycbcr.shape)), TO_RGB)
    return (_as_bytes(rgb[:, :, :height, :width]) + MIDDLE) / 255


def quality_steps(qualities: Tensor) -> Tensor:
    """(N,) -> (N, 3, 8, 8) steps for Y, Cb and Cr, as libjpeg has it.

    Percent of the tables: 5000 / quality below 50, 200 - 2 quality from there on.
    """
    tables = constant((LUMA_STEPS, CHROMA_STEPS, CHROMA_STEPS), qualities.device)
    percent = torch.where(qualities < 50, 5000 / qualities, 200 - 2 * qualities).floor()
    return ((tables * percent[:, None, None, None] + 50) / 100).floor().clamp(1, 255)


def _as_bytes(values: Tensor) -> Tensor:
    """What 8 bits hold of values whose middle is 0."""
    return torch.round(values).clamp(-MIDDLE, MIDDLE - 1)


def _recoloured(images: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("nchw,dc->ndhw", images, constant(matrix, images.device))


def _cosines(device: torch.device) -> Tensor:
    """(8, 8) orthonormal discrete cosine transform, row u: frequency u."""
    places = torch.arange(BLOCK, device=device)
    waves = torch.cos(math.pi / BLOCK * places[:, None] * (places + 0.5)) * math.sqrt(2 / BLOCK)
    waves[0] /= math.sqrt(2)
    return waves

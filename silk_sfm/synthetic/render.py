"""Photos and depth maps of a scene."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from silk_sfm.errors import ImageError
from silk_sfm.files import whole_file
from silk_sfm.synthetic.rays import RayGrid, pinhole_rays
from silk_sfm.synthetic.scene import Scene, Surface
from silk_sfm.synthetic.sky import sky_colours
from silk_sfm.synthetic.tracing import first_hits
from silk_sfm.synthetic.views import PinholeView

SUPERSAMPLING = 2
HAZE_METRES = 500.0
HAZE = np.array([206, 216, 224], np.float32)
NOISE_LEVEL = 1.6
"""Standard deviation of the noise of a pixel, in steps of 8 bits."""
EXPOSURE_RANGE = 0.07
"""Photos are up to this share darker or lighter."""


def render(view: PinholeView, scene: Scene) -> np.ndarray:
    """(H, W, 3) uint8 RGB photo, with an exposure and noise of its own (by the view's name)."""
    rng = np.random.default_rng([scene.seed, zlib.crc32(view.name.encode())])
    gain = np.exp(rng.uniform(-EXPOSURE_RANGE, EXPOSURE_RANGE)) * (1 + rng.normal(0, 0.008, 3))
    clean = render_clean(view, scene) * gain.astype(np.float32)
    noise = rng.standard_normal(clean.shape, dtype=np.float32) * NOISE_LEVEL
    return np.asarray(np.clip(np.rint(clean + noise), 0, 255), np.uint8)


def render_clean(view: PinholeView, scene: Scene) -> np.ndarray:
    """(H, W, 3) float32 display colours in 0..255, without noise."""
    fine = view.enlarged(SUPERSAMPLING)
    rays = pinhole_rays(fine)
    hits = first_hits(rays, [surface.shape for surface in scene.surfaces])
    image = np.zeros((fine.height, fine.width, 3), np.float32)
    y, x = np.nonzero(hits.shape < 0)
    image[y, x] = sky_colours(scene.sky, rays.points(x, y, np.ones(len(x))) - view.centre)
    for index, (surface, box) in enumerate(zip(scene.surfaces, hits.boxes, strict=True)):
        y, x = np.nonzero(hits.shape[box] == index)
        if len(x):
            y, x = y + box[0].start, x + box[1].start
            t = hits.distance[y, x]
            image[y, x] = _shade(surface, rays, (x, y, t), fine.focal_px)
    size = (view.width, view.height)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _shade(
    surface: Surface, rays: RayGrid, seen: tuple[np.ndarray, np.ndarray, np.ndarray], focal: float
) -> np.ndarray:
    """(N, 3) float32 colours of a surface at pixels x, y (N,) with depths t (N,)."""
    points = rays.points(*seen)
    towards = rays.origin[0] - points
    distance = np.linalg.norm(towards, axis=1)
    right, down = surface.shape.axes(points[:: max(1, len(points) // 64)])
    facing = np.abs(np.cross(down, right).mean(axis=0) @ towards.T) / distance
    footprint = distance / focal / np.sqrt(np.clip(facing, 0.12, 1))
    colours = surface.texture.colours(surface.shape.locate(points), footprint)
    clear = np.exp(-distance / HAZE_METRES).astype(np.float32)[:, None]
    return np.asarray(colours * clear + HAZE * (1 - clear))


def render_depth(view: PinholeView, scene: Scene) -> np.ndarray:
    """(H, W) float64 depths along the optical axis at pixel centres; infinite in the sky."""
    return first_hits(pinhole_rays(view), [surface.shape for surface in scene.surfaces]).distance


def write_photos(
    folder: Path, views: Sequence[PinholeView], scene: Scene, quality: int = 95
) -> list[Path]:
    """Render every view into `folder` under its name (.jpg or .png); whole files or none.

    Raises ImageError when a name has a suffix of no known kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_photo(folder / view.name, render(view, scene), quality) for view in views]


def _write_photo(path: Path, image: np.ndarray, quality: int) -> Path:
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ImageError(f"Cannot write {path}. Name the photo .jpg or .png.")
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(image[:, :, ::-1]), options)
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
    return path

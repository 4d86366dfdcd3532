from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from silk_sfm.colmap.cameras import (
    CAMERA_MODELS,
    Camera,
    CameraOptions,
    from_pycolmap,
    mean_focal,
    rays,
    simple_camera,
    to_pycolmap,
)
from silk_sfm.errors import ConfigError


def test_rays_of_a_pinhole() -> None:
    """COLMAP's principal point (50, 40) is the pixel (49.5, 39.5)."""
    camera = Camera("PINHOLE", 100, 80, (200.0, 100.0, 50.0, 40.0))
    pixels = np.array([[49.5, 39.5], [249.5, 39.5], [49.5, -10.5]], np.float32)
    found = rays(camera, pixels)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[0, 0], [1, 0], [0, -0.5]], atol=1e-12)
    assert mean_focal(camera) == 150


def test_rays_undo_distortion() -> None:
    """SIMPLE_RADIAL: x = f u (1 + k u^2) + cx."""
    camera = Camera("SIMPLE_RADIAL", 100, 80, (100.0, 50.0, 40.0, 0.1))
    u = 0.4
    pixels = np.array([[100 * u * (1 + 0.1 * u**2) + 49.5, 39.5]], np.float32)
    np.testing.assert_allclose(rays(camera, pixels), [[u, 0]], atol=1e-6)
    assert rays(camera, np.zeros((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("model", CAMERA_MODELS)
def test_every_model_goes_to_pycolmap_and_back(model: str) -> None:
    camera = simple_camera(model, (640, 480), 500.0, "exif")
    again = from_pycolmap(to_pycolmap(camera, 3), "exif")
    assert again == camera
    assert mean_focal(camera) == 500
    assert to_pycolmap(camera).has_prior_focal_length
    np.testing.assert_allclose(rays(camera, np.array([[319.5, 239.5]], np.float32)), 0, atol=1e-9)


def test_what_is_trusted() -> None:
    known, exif, guess = (
        simple_camera("PINHOLE", (4, 3), 5.0, source) for source in ("intrinsics", "exif", "guess")
    )
    assert (known.trusted, exif.trusted, guess.trusted) == (True, False, False)
    assert (known.has_prior_focal, exif.has_prior_focal, guess.has_prior_focal) == (
        True,
        True,
        False,
    )


def test_bad_cameras_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^No camera model `LENS`; known: SIMPLE_PINHOLE, "):
        CameraOptions(camera_model="LENS")
    with pytest.raises(ConfigError, match="^No camera model `EQUIRECTANGULAR`"):
        CameraOptions(camera_model="EQUIRECTANGULAR")
    with pytest.raises(ConfigError, match=r"^focal_factor must be positive, got 0\.$"):
        CameraOptions(focal_factor=0)
    with pytest.raises(ConfigError, match=r"^Camera model PINHOLE has the parameters fx, fy, cx"):
        Camera("PINHOLE", 4, 3, (1.0, 2.0))
    with pytest.raises(ConfigError, match=r"^Camera PINHOLE has no valid parameters: \(nan"):
        Camera("PINHOLE", 4, 3, (float("nan"), 1.0, 2.0, 3.0))


def test_compression_works_after_pycolmap_was_loaded() -> None:
    """pycolmap 4.2.1 loaded before zlib makes the first compression crash."""
    code = (
        "import silk_sfm.colmap.cameras, zlib, os, io, PIL.Image; data = os.urandom(10**6)\n"
        "assert zlib.decompress(zlib.compress(data)) == data\n"
        "PIL.Image.effect_noise((300, 300), 9).save(io.BytesIO(), 'PNG')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

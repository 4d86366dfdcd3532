"""Places on the earth in metres, by COLMAP's GPS transform."""

from __future__ import annotations

import numpy as np
import pycolmap

from silk_sfm.shapes import check_shapes


def ecef(places: np.ndarray) -> np.ndarray:
    """(N, 3) degrees north, degrees east and metres above the WGS 84 ellipsoid -> (N, 3) metres.

    The result is earth-centred and earth-fixed. Straight distances between its rows are those on
    the ground within 1 mm up to 8 km.
    """
    check_shapes(places=(places, "N 3"))
    transform = pycolmap.GPSTransform(pycolmap.GPSTransformEllipsoid.WGS84)
    return np.asarray(transform.ellipsoid_to_ecef(places.astype(np.float64))).reshape(-1, 3)

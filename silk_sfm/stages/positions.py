"""Where photos were taken: GPS in their EXIF, or a text file."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from silk_sfm.colmap.gps import ecef
from silk_sfm.errors import PairError
from silk_sfm.images import open_image

log = logging.getLogger(__name__)

GPS_IFD = 0x8825
NORTH_SOUTH, LATITUDE, EAST_WEST, LONGITUDE, ALTITUDE_REFERENCE, ALTITUDE = 1, 2, 3, 4, 5, 6
BELOW = (1, 3, b"\x01", b"\x03")
"""Altitude references: below the sea, below the ellipsoid (EXIF 3.0)."""
MAX_REPORTED = 5
Place = tuple[float, float, float | None]
"""Latitude, longitude and altitude, or x, y and z; None where the third is not known."""
PositionUnit = Literal["degrees", "metres"]


@dataclass(frozen=True, eq=False)
class Located:
    """Images with a position.

    numbers: their places in the list of all images, rising; points: (P, 3) float64 metres
    placeless: names of the images without a position
    """

    numbers: list[int]
    points: np.ndarray
    placeless: list[str]


def locate(
    names: Sequence[str],
    image_dir: Path | None,
    positions: Path | None,
    unit: PositionUnit,
    with_height: bool,
) -> Located:
    """Where images are: by the file `positions` in `unit`, else by the EXIF of photos.

    with_height: images without an altitude (or z) count as having no position

    Images without a position are named in a warning. Raises PairError when fewer than two have one.
    """
    if positions is not None:
        places, source = read_positions(positions, names, unit), str(positions)
    elif image_dir is not None:
        unit, places = "degrees", read_exif_positions(image_dir, names)
        source = f"the EXIF of the photos in {image_dir}"
    else:
        raise PairError(
            "Spatial pairs need positions: a folder of photos with GPS in their EXIF, or a file "
            "with `positions`."
        )
    what = "position with altitude" if with_height else "position"
    if with_height:
        places = {name: place for name, place in places.items() if place[2] is not None}
    if len(places) < 2:
        raise PairError(
            f"{len(places)} of {len(names)} images have a {what} in {source}, spatial pairs need "
            "two. Give `positions` in a file, or pair the images in another way."
        )
    placeless = [name for name in names if name not in places]
    _warn(placeless, len(names), f"{what} in {source}")
    numbers = [i for i, name in enumerate(names) if name in places]
    return Located(numbers, in_metres(places, unit, with_height), placeless)


def _warn(placeless: Sequence[str], n_images: int, what: str) -> None:
    if placeless:
        first = ", ".join(f"`{name}`" for name in placeless[:MAX_REPORTED])
        more = ", ..." if len(placeless) > MAX_REPORTED else ""
        log.warning(
            "%d of %d images have no %s and get no spatial pairs: %s%s",
            len(placeless),
            n_images,
            what,
            first,
            more,
        )


def read_exif_positions(image_dir: Path, names: Sequence[str]) -> dict[str, Place]:
    """Positions of the photos that have one. Raises PairError when there is no such folder."""
    if not image_dir.is_dir():
        raise PairError(f"No folder {image_dir}. Give the folder that holds the photos.")
    found = {name: read_exif_position(image_dir / name) for name in names}
    return {name: place for name, place in found.items() if place is not None}


def read_exif_position(path: Path) -> Place | None:
    """GPS position in a photo's EXIF: degrees north, degrees east, metres above the sea.

    The altitude is None where there is none. None for a photo without a position, one that cannot
    be read, and one at exactly 0 N 0 E: receivers without a fix write that.
    """
    try:
        with open_image(path) as image:
            gps = image.getexif().get_ifd(GPS_IFD)
        latitude = _degrees(gps[LATITUDE], gps.get(NORTH_SOUTH) == "S")
        longitude = _degrees(gps[LONGITUDE], gps.get(EAST_WEST) == "W")
        altitude = _altitude(gps)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None
    if not _on_earth(latitude, longitude) or latitude == longitude == 0:
        return None
    return latitude, longitude, altitude


def read_positions(path: Path, names: Sequence[str], unit: PositionUnit) -> dict[str, Place]:
    """Positions of images in a text file, `name a b [c]` a line; a tab or comma parts names.

    unit: what a, b, c are: latitude and longitude in degrees and altitude in metres, or x, y, z in
        metres. Without c it is None.

    Empty lines, lines that start with # (unless an image's name does) and names that are not among
    `names` are passed over.
    Raises PairError that lists the faulty lines, or when no name is known.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PairError(f"Cannot read the positions {path}: {error}.") from error
    known, places = frozenset(names), dict[str, Place]()
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        name, numbers = _cut(line, known)
        if not line.strip() or (line.startswith("#") and name not in known):
            continue
        try:
            place = _place(line, numbers, unit)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        if places.setdefault(name, place) != place:
            faults.append(f"line {number}: `{name}` is already at another place")
    if faults:
        more = f"; and {len(faults) - MAX_REPORTED} more" if len(faults) > MAX_REPORTED else ""
        raise PairError(f"Positions {path}: {'; '.join(faults[:MAX_REPORTED])}{more}.")
    placed = {name: places[name] for name in names if name in places}
    if not placed:
        raise PairError(
            f"Positions {path}: none of its {len(places)} names is one of the {len(names)} images. "
            "Names are relative to the image folder."
        )
    return placed


def in_metres(places: Mapping[str, Place], unit: PositionUnit, with_height: bool) -> np.ndarray:
    """(N, 3) float64 metres of `places` in their order, distances apart as on the ground.

    with_height: count differences in altitude (or z) too; without, all are at height 0
    """
    values = np.array(list(places.values()), np.float64).reshape(-1, 3)
    if not with_height:
        values[:, 2] = 0
    return ecef(values) if unit == "degrees" else values


def _place(line: str, numbers: Sequence[str], unit: PositionUnit) -> Place:
    """What the numbers of a line mean. Raises ValueError that says what is wrong."""
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        raise ValueError(f"`{line.strip()}` is no name with two or three numbers") from None
    if len(values) not in (2, 3) or not all(map(math.isfinite, values)):
        raise ValueError(f"`{line.strip()}` is no name with two or three numbers")
    if unit == "degrees" and not _on_earth(values[0], values[1]):
        raise ValueError(f"`{line.strip()}` is no latitude and longitude in degrees")
    return values[0], values[1], values[2] if len(values) == 3 else None


def _cut(line: str, known: frozenset[str]) -> tuple[str, list[str]]:
    """The name of a line and its other columns; a known name may hold spaces."""
    separator = next((mark for mark in "\t," if mark in line), None)
    if separator is not None:
        name, *numbers = (column.strip() for column in line.strip().split(separator))
        return name, numbers
    for n_numbers in (3, 2):
        name, *numbers = line.strip().rsplit(None, n_numbers) or [""]
        if name in known:
            return name, numbers
    name, *numbers = line.split() or [""]
    return name, numbers


def _degrees(parts: Sequence[float], is_negative: bool) -> float:
    """Degrees, minutes and seconds as one number."""
    degrees, minutes, seconds = (float(part) for part in parts)
    value = degrees + minutes / 60 + seconds / 3600
    return -value if is_negative else value


def _altitude(gps: Mapping[int, object]) -> float | None:
    try:
        metres = float(gps[ALTITUDE])  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(metres):
        return None
    return -metres if gps.get(ALTITUDE_REFERENCE) in BELOW else metres


def _on_earth(latitude: float, longitude: float) -> bool:
    return abs(latitude) <= 90 and abs(longitude) <= 180  # NaN is not

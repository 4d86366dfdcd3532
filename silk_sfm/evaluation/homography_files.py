"""Homographies in text files: three lines of three numbers, as HPatches and EVD publish them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from silk_sfm.errors import DatasetError

SINGULAR = 1e-12
"""Smallest ratio of the determinant to the product of the row lengths of a usable homography."""


def read_homography(path: Path) -> np.ndarray:
    """(3, 3) float64 homography that maps pixels of the first image to pixels of the second.

    Pixels as everywhere here: (0, 0) is the centre of the top-left one. Raises DatasetError that
    names the file, and the line where one is at fault: missing, no 3 x 3 numbers, NaN, singular.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError(f"No homography {path}. Copy the data set again.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"Cannot read the homography {path}: {error}.") from error
    rows = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, words in rows:
        if len(words) != 3:
            raise DatasetError(f"{path}, line {number}: expected 3 numbers, got {len(words)}.")
    if len(rows) != 3:
        raise DatasetError(f"{path}: a homography has 3 lines of 3 numbers, got {len(rows)} lines.")
    values = [parse_numbers(words, f"{path}, line {number}") for number, words in rows]
    return checked_homography(np.array(values), str(path))


def parse_numbers(words: Sequence[str], where: str) -> list[float]:
    """Finite numbers. Raises DatasetError that begins with `where` for any other word."""
    numbers: list[float] = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            raise DatasetError(f"{where}: `{word}` is no number.") from None
        if not np.isfinite(numbers[-1]):
            raise DatasetError(f"{where}: `{word}` is not finite.")
    return numbers


def checked_homography(homography: np.ndarray, where: str) -> np.ndarray:
    """The (3, 3) homography itself. Raises DatasetError when it is singular."""
    lengths = np.linalg.norm(homography, axis=1)
    if np.abs(np.linalg.det(homography)) <= SINGULAR * lengths.prod() or not lengths.all():
        raise DatasetError(f"{where}: the homography is singular: it maps the image to a line.")
    return homography

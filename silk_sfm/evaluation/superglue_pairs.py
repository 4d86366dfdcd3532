"""Pair lists in SuperGlue's text format: ScanNet-1500, YFCC, and whatever else is written so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.pose_pairs import PosePair

SCANNET_SCENE = re.compile(r"(?:^|/)(scene\d{4}_\d{2})")
"""A scene of ScanNet in the name of an image: at its start, or a folder."""
WORDS = 38
"""Two names, two rotations, 9 + 9 numbers of intrinsics, 16 of the pose."""


def read_superglue_pairs(path: Path) -> list[PosePair]:
    """Read `name_a name_b turns_a turns_b K_a[9] K_b[9] T_a_to_b[16]` per line, rows first.

    The turns say how a file without EXIF has to be turned upright; photos are turned by their EXIF
    here, so other turns than 0 are refused. The intrinsics count pixels of the file as it is.
    Raises DatasetError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DatasetError(f"No pair list {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"Pair list {path} cannot be read: {error}.") from error
    pairs = [
        _read_line(line, f"{path} line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith("#")
    ]
    if not pairs:
        raise DatasetError(f"Pair list {path} is empty.")
    return pairs


def _read_line(line: str, where: str) -> PosePair:
    words = line.split()
    if len(words) in (2, 4):
        raise DatasetError(f"{where} has no intrinsics and pose; give a list `..._with_gt.txt`.")
    if len(words) != WORDS:
        raise DatasetError(
            f"{where} has {len(words)} words, not {WORDS}: two names, two rotations, two 3 x 3 "
            "intrinsics, a 4 x 4 pose."
        )
    if words[2:4] != ["0", "0"]:
        raise DatasetError(
            f"{where} asks for photos turned by {words[2]} and {words[3]} quarter turns. Photos "
            "are turned by their EXIF: write it into the files and 0 0 into the list."
        )
    try:
        numbers = np.array(words[4:], np.float64)
    except ValueError as error:
        raise DatasetError(f"{where}: {error}.") from error
    pose = numbers[18:].reshape(4, 4)
    return PosePair(
        a=words[0],
        b=words[1],
        camera_a=numbers[:9].reshape(3, 3),
        camera_b=numbers[9:18].reshape(3, 3),
        pose=(pose[:3, :3], pose[:3, 3]),
        scene=_scene(words[0]),
        where=where,
    )


def _scene(name: str) -> str:
    """ScanNet's `scene0711_00`, wherever it stands; else the folder on top, `.` without one."""
    found = SCANNET_SCENE.search(name)
    if found:
        return found[1]
    folder, slash, _ = name.partition("/")
    return folder if slash else "."

"""The indices of MegaDepth-1500 and ScanNet-1500 as LoFTR publishes them (.npz)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.plain_pickle import read_npz
from silk_sfm.evaluation.pose_pairs import PosePair
from silk_sfm.geometry.pose import relative_pose

INTRINSICS = "intrinsics.npz"
SCANNET_SIZE = (640, 480)
"""The size that the intrinsics of LoFTR's ScanNet index count, whatever size the files have."""
MEGADEPTH_KEYS = ("image_paths", "intrinsics", "poses", "pair_infos")


def read_loftr_index(path: Path) -> list[PosePair]:
    """Read one .npz, or all of a folder. Raises DatasetError that names file and pair.

    MegaDepth: `image_paths`, `intrinsics`, `poses` (world to camera) per image, `pair_infos` with
    ((i, j), overlap, ...) per pair. ScanNet: `name` (scene, scan, frame, frame) and `rel_pose`
    (3 x 4) per pair, with K by scene in intrinsics.npz beside it.
    """
    if not path.is_dir():
        return _read_file(path)
    files = sorted(file for file in path.glob("*.npz") if file.name != INTRINSICS)
    if not files:
        raise DatasetError(f"No .npz index in {path}.")
    return [pair for file in files for pair in _read_file(file)]


def _read_file(path: Path) -> list[PosePair]:
    entries = read_npz(path)
    if "pair_infos" in entries:
        return _megadepth(entries, path)
    if "name" in entries and "rel_pose" in entries:
        return _scannet(entries, read_npz(path.with_name(INTRINSICS)), path)
    raise DatasetError(
        f"{path} is no index of MegaDepth ({', '.join(MEGADEPTH_KEYS)}) or ScanNet (name, "
        f"rel_pose); it holds {', '.join(entries)}."
    )


def _megadepth(entries: Mapping[str, Any], path: Path) -> list[PosePair]:
    missing = [key for key in MEGADEPTH_KEYS if key not in entries]
    if missing:
        raise DatasetError(f"{path} lacks {', '.join(missing)}.")
    return [
        _megadepth_pair(entries, info, path.stem, f"{path} pair {number}")
        for number, info in enumerate(entries["pair_infos"])
    ]


def _megadepth_pair(entries: Mapping[str, Any], info: Any, scene: str, where: str) -> PosePair:
    try:
        rows = [int(row) for row in info[0]]
        names, cameras, poses = (
            [entries[key][row] for row in rows] for key in ("image_paths", "intrinsics", "poses")
        )
        (a, b), (camera_a, camera_b) = names, (np.array(camera, np.float64) for camera in cameras)
        matrices = [np.array(pose, np.float64)[:3] for pose in poses]
        (rotation_a, shift_a), (rotation_b, shift_b) = ((m[:, :3], m[:, 3]) for m in matrices)
    except (TypeError, ValueError, IndexError) as error:
        raise DatasetError(f"{where} is malformed: {error}.") from error
    pose = relative_pose((rotation_a, shift_a), (rotation_b, shift_b))
    return PosePair(str(a), str(b), camera_a, camera_b, pose, scene, where)


def _scannet(entries: Mapping[str, Any], cameras: Mapping[str, Any], path: Path) -> list[PosePair]:
    names, poses = np.asarray(entries["name"]), np.asarray(entries["rel_pose"], np.float64)
    if names.ndim != 2 or names.shape[1] != 4 or poses.shape != (len(names), 12):
        raise DatasetError(
            f"{path}: `name` has the shape {names.shape} and `rel_pose` {poses.shape}, expected "
            "(N, 4) and (N, 12)."
        )
    return [
        _scannet_pair([int(word) for word in name], pose, cameras, f"{path} pair {number}")
        for number, (name, pose) in enumerate(zip(names, poses, strict=True))
    ]


def _scannet_pair(
    name: list[int], pose: np.ndarray, cameras: Mapping[str, Any], where: str
) -> PosePair:
    scene = f"scene{name[0]:04d}_{name[1]:02d}"
    if scene not in cameras:
        raise DatasetError(f"{where}: {INTRINSICS} has no entry `{scene}`.")
    camera = np.asarray(cameras[scene], np.float64).reshape(3, 3)
    matrix = pose.reshape(3, 4)
    return PosePair(
        a=f"{scene}/color/{name[2]}.jpg",
        b=f"{scene}/color/{name[3]}.jpg",
        camera_a=camera,
        camera_b=camera,
        pose=(matrix[:, :3], matrix[:, 3]),
        scene=scene,
        where=where,
        camera_size=SCANNET_SIZE,
    )

"""Frames with colour, depth, intrinsics and pose, in the folders that ScanNet's reader writes.

Colour and depth are taken to be seen from one place, each with intrinsics of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from silk_sfm.errors import DatasetError
from silk_sfm.evaluation.pose_pairs import check_camera, check_pose
from silk_sfm.geometry.pose import RotationTranslation

COLOUR_SUFFIXES = (".jpg", ".png")


@dataclass(frozen=True)
class Frame:
    """One frame: `SCENE/color/N.jpg`, `SCENE/depth/N.png`, `SCENE/pose/N.txt`.

    data: the folder that holds the scenes; scene: path of the scene in it; colour: file name
    """

    data: Path
    scene: str
    colour: str

    @property
    def name(self) -> str:
        """The colour image relative to the data folder."""
        return f"{self.scene}/color/{self.colour}"

    @property
    def number(self) -> int:
        """What the frame is counted by."""
        return int(Path(self.colour).stem)

    @property
    def folder(self) -> Path:
        """The folder of the scene."""
        return self.data / self.scene

    @property
    def depth_path(self) -> Path:
        """The depth map."""
        return self.folder / "depth" / f"{Path(self.colour).stem}.png"

    @property
    def pose_path(self) -> Path:
        """The pose."""
        return self.folder / "pose" / f"{Path(self.colour).stem}.txt"

    def read_pose(self) -> np.ndarray:
        """(4, 4) camera to world, metres; not finite where ScanNet lost track.

        Raises DatasetError when the file is missing or malformed.
        """
        return read_matrix(self.pose_path, 4)

    def check(self) -> None:
        """Raises DatasetError when intrinsics are malformed or the depth map is missing."""
        for what in ("color", "depth"):
            self._camera(what)
        if not self.depth_path.is_file():
            raise DatasetError(f"No depth map {self.depth_path} for {self.name}.")

    def read_depth(self, units_per_metre: float) -> DepthMap:
        """The depth map with its intrinsics. Raises DatasetError when a file does not fit."""
        depth = cv2.imread(str(self.depth_path), cv2.IMREAD_UNCHANGED)
        if depth is None or depth.ndim != 2 or depth.dtype != np.uint16:
            raise DatasetError(f"{self.depth_path} is no 16-bit depth map (PNG, one channel).")
        if not depth.any():
            raise DatasetError(f"{self.depth_path} knows no depth at all.")
        return DepthMap(depth / units_per_metre, self._camera("depth"))

    def read_camera(self) -> np.ndarray:
        """(3, 3) K of the colour image. Raises DatasetError when it is missing or malformed."""
        return self._camera("color")

    def _camera(self, what: str) -> np.ndarray:
        path = self.folder / "intrinsic" / f"intrinsic_{what}.txt"
        camera = read_matrix(path, 3)[:3, :3]
        check_camera(camera, f"intrinsic_{what}", str(path))
        return camera


@dataclass(frozen=True, eq=False)
class DepthMap:
    """depth: (H, W) float64 metres along the optical axis, 0 where unknown; camera: (3, 3) K."""

    depth: np.ndarray
    camera: np.ndarray

    def lift(self, rays: np.ndarray) -> np.ndarray:
        """(M, 2) points on the plane z = 1 -> (M, 3) points in metres, NaN without depth.

        The depth is that of the nearest pixel: a mean over an edge would lie in the air.
        """
        seen = np.column_stack([rays, np.ones(len(rays))])
        column, row = np.rint((seen @ self.camera.T)[:, :2]).astype(int).T
        height, width = self.depth.shape
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        depth = np.zeros(len(rays))
        depth[inside] = self.depth[row[inside], column[inside]]
        depth[depth <= 0] = np.nan
        return np.asarray(seen * depth[:, None])

    def cloud(self, max_points: int) -> np.ndarray:
        """(P, 3) points of a regular grid of pixels, at most about `max_points`."""
        return self._points[:: max(1, -(-len(self._points) // max_points))]

    @cached_property
    def _points(self) -> np.ndarray:
        row, column = np.nonzero(self.depth > 0)
        depth = self.depth[row, column]
        pixels = np.stack([column, row, np.ones(len(row))], axis=1)
        return np.asarray(pixels @ np.linalg.inv(self.camera).T * depth[:, None])


def find_frames(data: Path) -> dict[str, list[Frame]]:
    """The frames of each scene below `data` by number; a scene is a folder that holds `color`.

    Raises DatasetError when there is none, or when a colour image is not named by a number.
    """
    folders = sorted(path.parent for path in data.rglob("color") if path.is_dir())
    scenes = {folder.relative_to(data).as_posix(): _frames(data, folder) for folder in folders}
    if not any(scenes.values()):
        raise DatasetError(
            f"No frames in {data}: folders `SCENE/color`, `depth`, `pose` and `intrinsic`."
        )
    return scenes


def read_matrix(path: Path, size: int) -> np.ndarray:
    """A (size, size) or larger square float64 matrix from a text file.

    Raises DatasetError when the file is missing or holds something else.
    """
    try:
        matrix = np.array(
            [line.split() for line in path.read_text("utf-8").splitlines() if line.strip()],
            np.float64,
        )
    except FileNotFoundError:
        raise DatasetError(f"No file {path}.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} holds no matrix: {error}.") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < size:
        raise DatasetError(f"{path} holds a matrix of the shape {matrix.shape}, not 4 x 4.")
    return matrix


def relative_motion(a: Frame, b: Frame) -> RotationTranslation:
    """The pose that maps points of camera a to camera b, metres.

    Raises DatasetError when a pose is missing or not finite.
    """
    poses = [frame.read_pose() for frame in (a, b)]
    for frame, pose in zip((a, b), poses, strict=True):
        check_pose((pose[:3, :3], pose[:3, 3]), str(frame.pose_path))
    motion = np.linalg.inv(poses[1]) @ poses[0]
    return motion[:3, :3], motion[:3, 3]


def _frames(data: Path, folder: Path) -> list[Frame]:
    scene = folder.relative_to(data).as_posix()
    files = [path for path in (folder / "color").iterdir() if path.suffix in COLOUR_SUFFIXES]
    for path in files:
        if not path.stem.isdecimal():
            raise DatasetError(f"{path} is not named by the number of its frame.")
    return sorted((Frame(data, scene, path.name) for path in files), key=lambda f: f.number)

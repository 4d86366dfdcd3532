"""Scenes with true cameras as COLMAP models: their pairs, and what a scene is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from silk_sfm.colmap.model import Model, read_model
from silk_sfm.colmap.two_view import pixel_camera
from silk_sfm.errors import ConfigError, DatasetError
from silk_sfm.evaluation.pose_pairs import PosePair, check_pose
from silk_sfm.evaluation.strecha import write_colmap_truth
from silk_sfm.geometry.pose import relative_pose
from silk_sfm.images import ImageFolder

TRUTH = ("gt_sparse", "sparse", "dslr_calibration_undistorted")
"""Where the true model of a scene may lie; the last one is ETH3D's name."""

STRECHA = "gt_dense_cameras"


@dataclass(frozen=True, eq=False)
class Scene:
    """A folder with `images` and a COLMAP model of the true cameras.

    name: `.` when the data set is one scene; folder: where it lies; truth: folder of the model
    """

    name: str
    folder: Path
    truth: Path

    @property
    def images(self) -> Path:
        """The folder that the names of the model are relative to."""
        return self.folder / "images"


def find_scenes(data: Path, out: Path) -> list[Scene]:
    """The scenes right below `data`, or `data` itself; sorted by name.

    out: Strecha's `.camera` files are written there as a COLMAP model, `truth/SCENE`

    Raises DatasetError when there is none.
    """
    scenes: list[Scene] = []
    for folder in [data, *sorted(path for path in data.glob("*") if path.is_dir())]:
        name = folder.relative_to(data).as_posix()
        if (folder / "images").is_dir():
            truth = _truth(folder) or _strecha_truth(folder, out / "truth" / name)
            scenes += [Scene(name, folder, truth)] if truth else []
    if not scenes:
        raise DatasetError(
            f"No scene in {data}: a folder with `images` and a COLMAP model `{TRUTH[0]}` or "
            f"Strecha's `{STRECHA}`."
        )
    return scenes


def read_truth(scene: Scene) -> Model:
    """The true model.

    Raises ReconstructionError when it is damaged or has intrinsics that are not finite,
    DatasetError when it names fewer than two images or a missing one, or a pose is not finite.
    """
    model = read_model(scene.truth)
    for name, pose in model.poses.items():
        check_pose((pose.rotation, pose.translation), f"{scene.truth}: `{name}`")
    if len(model.names) < 2:
        raise DatasetError(f"{scene.truth} names {len(model.names)} images; two are needed.")
    there = set(ImageFolder.open(scene.images).names)
    missing = [name for name in model.names if name not in there]
    if missing:
        raise DatasetError(
            f"{scene.truth} names `{missing[0]}`, which is not in {scene.images} "
            f"({len(missing)} images are missing)."
        )
    return model


def scene_pairs(scene: Scene) -> list[PosePair]:
    """All pairs of the images of a scene; names are relative to the folder that holds the scenes.

    Raises DatasetError for a camera with distortion.
    """
    model = read_truth(scene)
    prefix = "images" if scene.name == "." else f"{scene.name}/images"
    poses = {name: (pose.rotation, pose.translation) for name, pose in model.poses.items()}
    try:
        cameras = {name: pixel_camera(camera) for name, camera in model.cameras.items()}
    except ConfigError as error:
        raise DatasetError(f"{scene.truth}: {error}") from error
    return [
        PosePair(
            f"{prefix}/{a}",
            f"{prefix}/{b}",
            cameras[a],
            cameras[b],
            relative_pose(poses[a], poses[b]),
            scene.name,
            f"{scene.truth}: {a} and {b}",
        )
        for a, b in combinations(model.names, 2)
    ]


def _truth(folder: Path) -> Path | None:
    """The model of a scene; COLMAP keeps models of its own in sparse/0."""
    places = [place for name in TRUTH for place in (folder / name, folder / name / "0")]
    for place in places:
        if any((place / f"images{suffix}").is_file() for suffix in (".txt", ".bin")):
            return place
    return None


def _strecha_truth(folder: Path, target: Path) -> Path | None:
    cameras = folder / STRECHA
    if not cameras.is_dir():
        return None
    write_colmap_truth(cameras, folder / "images", target)
    return target

"""A corner of a room, rendered with depth and known poses, for tests of the evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from silk_sfm.evaluation.protocol import Job, Predictions
from silk_sfm.evaluation.strecha import quaternion
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.store import FeatureWriter, MatchWriter, Provenance
from silk_sfm.synthetic import PinholeView, Scene, Surface, render_depth, write_photos
from silk_sfm.synthetic.primitives import Panel
from silk_sfm.synthetic.texture import make_texture
from silk_sfm.synthetic.views import look_at

SIDE = 4.0
SIZE = (320, 240)
FOCAL = 300.0


def room() -> Scene:
    """Two walls and the floor, 4 m each, painted with blots."""
    east, north, up = np.eye(3)
    panels = [
        Panel(np.array([0, SIDE, SIDE]), east, -up, (SIDE, SIDE)),  # far wall
        Panel(np.array([SIDE, SIDE, SIDE]), -north, -up, (SIDE, SIDE)),  # right wall
        Panel(np.array([0, SIDE, 0]), east, -north, (SIDE, SIDE)),  # floor
    ]
    surfaces = [
        Surface(panel, make_texture(_blots(seed), panel.size)) for seed, panel in enumerate(panels)
    ]
    return Scene(tuple(surfaces), np.full((8, 8, 3), 100, np.uint8), 0)


def room_views(n: int, step: float = 0.12) -> list[PinholeView]:
    """Cameras on a short path, looking into the corner."""
    views = []
    for index in range(n):
        aside = 0.6 * step * (index % 2)  # on a line, no similarity could be found
        centre = np.array([0.6 + step * index, 0.5 + aside, 1.5 + 0.05 * index])
        target = np.array([3.0, 3.2, 1.2 - 0.02 * index])
        middle = ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2)
        views.append(PinholeView(f"{index}.jpg", *SIZE, FOCAL, middle, *look_at(centre, target)))
    return views


def write_frames(folder: Path, numbers: list[int]) -> list[PinholeView]:
    """Write frames as ScanNet's reader does, below folder/scene0000_00; the depth is smaller."""
    scene, views = room(), room_views(len(numbers))
    target = folder / "scene0000_00"
    named = [replace(view, name=f"{n}.jpg") for view, n in zip(views, numbers, strict=True)]
    write_photos(target / "color", named, scene)
    for part in ("depth", "pose", "intrinsic"):
        (target / part).mkdir()
    for view, number in zip(named, numbers, strict=True):
        depth = render_depth(half(view), scene)
        millimetres = np.rint(np.where(np.isfinite(depth), depth * 1000, 0)).astype(np.uint16)
        cv2.imwrite(str(target / "depth" / f"{number}.png"), millimetres)
        np.savetxt(target / "pose" / f"{number}.txt", camera_to_world(view))
    for name, view in (("color", named[0]), ("depth", half(named[0]))):
        matrix = np.eye(4)
        matrix[:3, :3] = view.intrinsics
        np.savetxt(target / "intrinsic" / f"intrinsic_{name}.txt", matrix)
    return named


def half(view: PinholeView) -> PinholeView:
    """The camera of the depth map: half as many pixels."""
    cx, cy = ((value + 0.5) / 2 - 0.5 for value in view.principal)
    return replace(
        view,
        width=view.width // 2,
        height=view.height // 2,
        focal_px=view.focal_px / 2,
        principal=(cx, cy),
    )


def camera_to_world(view: PinholeView) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = view.rotation.T, view.centre
    return pose


def seen_points(n: int = 400) -> np.ndarray:
    """(n, 3) points of the room, the same for every view."""
    rng = np.random.default_rng(0)
    uv = rng.uniform(0.3, SIDE - 0.3, (n, 2))
    points = [surface.shape.place(uv[i::3]) for i, surface in enumerate(room().surfaces)]
    return np.concatenate(points)


def export_truth(
    folder: Path, views: dict[str, PinholeView], job: Job, noise_px: float, wrong: float
) -> Predictions:
    """Stores of a method whose keypoints are projections of the room's points.

    A share `wrong` of the matches is shuffled; keypoint i of every image shows point i.
    """
    rng = np.random.default_rng(1)
    made = Provenance("truth", {"max_size": 1600}, {})
    predictions = Predictions("truth", folder)
    n = 0
    with FeatureWriter(predictions.features, made) as features:
        for name in job.images.names:
            points = seen_points()
            n = len(points)
            pixels = views[name].project(points) + rng.normal(scale=noise_px, size=(n, 2))
            size = (views[name].width, views[name].height)
            descriptors = np.eye(n, 128, dtype=np.float32)
            scores = np.ones(n, np.float32)
            features.add(name, LocalFeatures(np.float32(pixels), scores, descriptors, size))
    with MatchWriter(predictions.matches, made) as matches:
        for pair in job.pairs:
            indices = np.repeat(np.arange(n, dtype=np.int32)[:, None], 2, axis=1)
            moved = rng.permutation(n)[: round(wrong * n)]
            indices[moved, 1] = np.roll(indices[moved, 1], 1)
            matches.add_pair(pair, Matches(indices, np.ones(n, np.float32)), n)
    return predictions


def _blots(seed: int) -> np.ndarray:
    """(H, W, 3) uint8 smooth noise of several scales."""
    rng = np.random.default_rng(seed)
    image = np.zeros((512, 512, 3), np.float32)
    for cells in (16, 48, 128):
        coarse = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC) * 50
    return np.asarray(np.clip(128 + image, 0, 255), np.uint8)


def write_truth(folder: Path, views: list[PinholeView]) -> None:
    """A COLMAP text model of the cameras, without points."""
    folder.mkdir(parents=True)
    cx, cy = (value + 0.5 for value in views[0].principal)  # COLMAP's origin is the corner
    camera = f"1 PINHOLE {SIZE[0]} {SIZE[1]} {FOCAL} {FOCAL} {cx} {cy}\n"
    (folder / "cameras.txt").write_text(camera)
    lines = ""
    for number, view in enumerate(views, start=1):
        numbers = [*quaternion(view.rotation), *view.translation]
        lines += f"{number} {' '.join(map(str, numbers))} 1 {view.name}\n\n"
    (folder / "images.txt").write_text(lines)
    (folder / "points3D.txt").write_text("")

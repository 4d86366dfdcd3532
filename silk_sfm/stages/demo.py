"""A made-up scene with known cameras, reconstructed and measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from silk_sfm.colmap.mapping import OnImage
from silk_sfm.colmap.model import Model
from silk_sfm.drawing import draw_matches, draw_model, write_image
from silk_sfm.geometry.pose import align_similarity, area_under_curve, pair_errors
from silk_sfm.images import ImageFolder, decode
from silk_sfm.pixels import to_colmap
from silk_sfm.stages.build import ModelReport
from silk_sfm.stages.choice import choose
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.reconstruct import Reconstruction
from silk_sfm.stages.report import Track, silent
from silk_sfm.store import FeatureStore, VerifiedStore
from silk_sfm.synthetic import PinholeView, demo_scene, demo_views, write_photos

N_VIEWS = 16
N_PICTURES = 3
TOP_K = 6000
"""The photos are small: 640 x 480."""


@dataclass(frozen=True)
class PoseErrors:
    """How far a model is from the known cameras.

    rotation_deg, direction_deg: of relative rotations and of directions of relative translations,
        medians over all pairs of images
    auc: area under the curve of the larger one up to 1 degree, in percent
    position: distance of the aligned camera centres, median, as a share of the extent of the path
    """

    rotation_deg: float
    direction_deg: float
    auc: float
    position: float

    def __str__(self) -> str:
        return (
            f"pose errors against the known cameras (medians): rotation {self.rotation_deg:.3f} "
            f"deg, direction {self.direction_deg:.3f} deg, position {100 * self.position:.3f} % "
            f"of the path; AUC@1deg {self.auc:.1f}"
        )


@dataclass(frozen=True, eq=False)
class DemoReport:
    """The reconstruction of the made-up scene, its errors and the pictures made of it."""

    job: Reconstruction
    model: ModelReport
    errors: PoseErrors
    pictures: tuple[Path, ...]


def demo(
    out: Path,
    recipe: Recipe,
    device: str,
    overwrite: bool = False,
    track: Track = silent,
    on_image: OnImage | None = None,
    command: str = "",
) -> DemoReport:
    """Render OUT/photos, reconstruct them with known intrinsics, measure and draw the result.

    command: what was typed, for run.json
    """
    views = demo_views(N_VIEWS)
    photos = out / "photos"
    render_photos(photos, views, track)
    write_intrinsics(out / "cameras.txt", views[0])
    recipe = replace(recipe, cameras=replace(recipe.cameras, intrinsics=out / "cameras.txt"))
    if recipe.extractor == choose("extractors", "silk"):  # the default: small photos need fewer
        options = replace(recipe.extractor.options, top_k=TOP_K)
        recipe = replace(recipe, extractor=replace(recipe.extractor, options=options))
    images = ImageFolder.open(photos)
    job = Reconstruction(images, out, recipe, device, overwrite, track, on_image, command=command)
    report = job.run()
    errors = measure(report.model, views)
    return DemoReport(job, report, errors, _draw(job, report.model, out))


def render_photos(folder: Path, views: list[PinholeView], track: Track) -> None:
    """Write a photo per view; those that are there already are kept."""
    scene = demo_scene()
    for view in track(views, "views", len(views)):
        if not (folder / view.name).exists():
            write_photos(folder, [view], scene)


def write_intrinsics(path: Path, view: PinholeView) -> None:
    """Write a COLMAP cameras.txt with the camera of the views."""
    cx, cy = to_colmap(np.array([view.principal]))[0]
    path.write_text(
        f"1 PINHOLE {view.width} {view.height} {view.focal_px} {view.focal_px} {cx} {cy}\n"
    )


def measure(model: Model, views: list[PinholeView]) -> PoseErrors:
    """Errors of a model against the views it was made from."""
    known = {view.name: (view.rotation, view.translation) for view in views}
    found = {name: (pose.rotation, pose.translation) for name, pose in model.poses.items()}
    errors = pair_errors(found, known)
    centres = np.array([model.poses[name].centre for name in model.names])
    true = {view.name: view.centre for view in views}
    true_centres = np.array([true[name] for name in model.names])
    aligned = align_similarity(centres, true_centres).apply(centres)
    extent = np.ptp(true_centres, axis=0).max()
    return PoseErrors(
        rotation_deg=float(np.median(errors.rotation)),
        direction_deg=float(np.median(errors.translation)),
        auc=100 * area_under_curve(errors.largest, [1.0])[0],
        position=float(np.median(np.linalg.norm(aligned - true_centres, axis=1)) / extent),
    )


def _draw(job: Reconstruction, model: Model, out: Path) -> tuple[Path, ...]:
    """A picture of the model, and of the matches of some pairs from good to hard."""
    picture = out / "model.png"
    write_image(picture, _model_picture(model))
    return (picture, *_draw_pairs(job, out))


def _model_picture(model: Model) -> np.ndarray:
    poses = list(model.poses.values())
    return draw_model(
        model.points.xyz,
        model.points.colours,
        np.array([pose.centre for pose in poses]),
        np.array([pose.rotation for pose in poses]),
    )


def _draw_pairs(job: Reconstruction, out: Path) -> list[Path]:
    with FeatureStore(job.files.features) as features, VerifiedStore(job.files.verified) as store:
        geometries = {pair: store[pair] for pair in store.pairs(features.names)}
        ranked = sorted(geometries, key=lambda pair: -len(geometries[pair].inliers))
        ranked = [pair for pair in ranked if len(geometries[pair].inliers)]
        chosen = [ranked[i] for i in np.linspace(0, len(ranked) - 1, N_PICTURES).astype(int)]
        paths = []
        for a, b in chosen:
            inliers = geometries[a, b].inliers
            picture = draw_matches(
                _rgb(job.images, a),
                _rgb(job.images, b),
                features.keypoints(a)[inliers.indices[:, 0]],
                features.keypoints(b)[inliers.indices[:, 1]],
                inliers.scores,
                f"{a} - {b}: {len(inliers)} verified of {geometries[a, b].n_tentative} matches",
            )
            paths.append(out / f"matches_{Path(a).stem}_{Path(b).stem}.png")
            write_image(paths[-1], picture)
    return paths


def _rgb(images: ImageFolder, name: str) -> np.ndarray:
    """(H, W, 3) uint8 pixels of a file, in its own grid."""
    pixels, _ = decode(images.path(name))
    return np.asarray(np.rint(pixels * 255), np.uint8)

"""A model in the browser while a server runs, by viser (https://viser.studio), an extra."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from silk_sfm.colmap.model import Model, read_model
from silk_sfm.errors import ConfigError, ImageError
from silk_sfm.images import turn_upright
from silk_sfm.reporting.photos import read_shrunk
from silk_sfm.reporting.scene import MOST_POINTS, Scene, chosen_points, make_scene

if TYPE_CHECKING:
    from viser import SceneNodeHandle, ViserServer

HOST = "127.0.0.1"
"""Other machines see nothing."""
PHOTO_SIDE = 160
AWAY, RAISED = 1.2, 0.45
"""The first view is from so many radii behind the middle of the scene, and that share above it."""
CAMERA_COLOUR = (255, 170, 60)


@dataclass(frozen=True, eq=False)
class Live:
    """A running server, and what it shows: the points, then the cameras by name."""

    server: ViserServer
    shown: tuple[SceneNodeHandle, ...]

    @property
    def url(self) -> str:
        """Where the browser finds it."""
        return f"http://{HOST}:{self.server.get_port()}"

    def wait(self) -> None:
        """Go on until Ctrl-C."""
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


@contextmanager
def show_live(model_dir: Path, photos: Path | None, port: int = 8080) -> Iterator[Live]:
    """Serve a model while the block runs; a port that is taken makes it the next free one.

    Raises ConfigError without viser or cameras, ReconstructionError when there is no model.
    """
    if find_spec("viser") is None:
        raise ConfigError("The live view needs viser: pip install 'silk-sfm[live]'.")
    import viser

    model = read_model(model_dir)
    if not model.poses:
        raise ConfigError(f"The model {model_dir} has no camera to show.")
    server = viser.ViserServer(host=HOST, port=port, verbose=False)
    try:
        yield Live(server, tuple(_fill(server, model, photos)))
    finally:
        server.stop()


def _fill(server: ViserServer, model: Model, photos: Path | None) -> Iterator[SceneNodeHandle]:
    scene = make_scene(model)
    server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
    server.scene.set_up_direction(_triple(scene.up))
    eye = scene.target + AWAY * scene.radius * (RAISED * scene.up - scene.ahead)
    server.initial_camera.position = _triple(eye)
    server.initial_camera.look_at = _triple(scene.target)
    server.initial_camera.near = scene.radius / 100
    server.initial_camera.far = 100 * scene.radius
    rows = chosen_points(model.points.xyz, MOST_POINTS)
    yield server.scene.add_point_cloud(
        "/points",
        model.points.xyz[rows].astype(np.float32),
        scene.colours,
        point_size=scene.radius / 200,
        precision="float32",
    )
    for index, name in enumerate(model.names):
        yield _add_camera(server, model, name, index, scene, photos)


def _add_camera(
    server: ViserServer, model: Model, name: str, index: int, scene: Scene, photos: Path | None
) -> SceneNodeHandle:
    """A frustum with its photo; it is named by number, because names may hold anything."""
    import viser.transforms

    pose = model.poses[name]
    half_width, half_height = scene.cameras[index, 12:].tolist()
    frustum = server.scene.add_camera_frustum(
        f"/cameras/{index}",
        fov=2 * float(np.arctan(half_height)),
        aspect=half_width / half_height,
        scale=scene.frustum,
        thickness=2.0,
        thickness_units="screen",
        color=CAMERA_COLOUR,
        image=_raw_photo(photos, name),
        wxyz=viser.transforms.SO3.from_matrix(pose.rotation.T).wxyz,
        position=_triple(pose.centre),
    )

    @frustum.on_click
    def _(_: object) -> None:
        for client in server.get_clients().values():
            client.add_notification(name, "")

    return frustum


def _raw_photo(photos: Path | None, name: str) -> np.ndarray | None:
    """A small photo as its camera sees it, in the file's own order; None when it is unreadable."""
    if photos is None:
        return None
    try:
        shrunk = read_shrunk(photos / name, PHOTO_SIDE)
    except ImageError:
        return None
    orientation = shrunk.grid.orientation
    return turn_upright(shrunk.pixels, {6: 8, 8: 6}.get(orientation, orientation))  # back again


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z

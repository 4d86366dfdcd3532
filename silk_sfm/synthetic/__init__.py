"""A made-up village with known cameras, for the demo and the tests."""

from silk_sfm.synthetic.render import render, render_clean, render_depth, write_photos
from silk_sfm.synthetic.scene import Scene, Surface
from silk_sfm.synthetic.views import PinholeView, demo_views
from silk_sfm.synthetic.village import demo_scene

__all__ = [
    "PinholeView",
    "Scene",
    "Surface",
    "demo_scene",
    "demo_views",
    "render",
    "render_clean",
    "render_depth",
    "write_photos",
]

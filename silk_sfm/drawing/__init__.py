"""Pictures of keypoints, matches and models."""

from silk_sfm.drawing.files import write_image
from silk_sfm.drawing.matches import draw_keypoints, draw_lines, draw_matches
from silk_sfm.drawing.model import draw_model

__all__ = ["draw_keypoints", "draw_lines", "draw_matches", "draw_model", "write_image"]

"""SiLK keypoints for structure from motion: from a folder of photos to a COLMAP model."""

__version__ = "0.1.0"

"""Recipes that come with silk-sfm: `--config NAME`."""

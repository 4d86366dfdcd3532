"""Recipes that come with silk-sfm: `--config NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from silk_sfm.errors import ConfigError

OF_TRAININGS = "train_"
"""How the names of recipes of trainings begin; all others are of reconstructions."""


def recipe_names() -> list[str]:
    """The recipes of reconstructions."""
    return [name for name in _names() if not name.startswith(OF_TRAININGS)]


def training_names() -> list[str]:
    """The recipes of trainings."""
    return [name for name in _names() if name.startswith(OF_TRAININGS)]


def find_recipe(name: str, shipped: Sequence[str]) -> Path:
    """The file of a recipe, by one of the names `shipped` or by its path.

    Raises ConfigError when there is none.
    """
    path = Path(str(files(__name__) / f"{name}.toml")) if name in shipped else Path(name)
    if not path.is_file():
        raise ConfigError(f"No recipe {name}. Give a TOML file or one of: {', '.join(shipped)}.")
    return path


def _names() -> list[str]:
    entries = [Path(entry.name) for entry in files(__name__).iterdir()]
    return sorted(entry.stem for entry in entries if entry.suffix == ".toml")

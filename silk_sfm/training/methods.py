"""The methods that can be trained, and the recipes of their trainings."""

from __future__ import annotations

from collections.abc import Mapping

from silk_sfm.configs import find_recipe, training_names
from silk_sfm.errors import ConfigError
from silk_sfm.options import read_toml, structure
from silk_sfm.training.kp2d import Kp2dTraining
from silk_sfm.training.msnet import MsNetTraining
from silk_sfm.training.r2d2 import R2d2Training
from silk_sfm.training.recipe import DEFAULT_TRAINING, Training
from silk_sfm.training.silk import SilkTraining

METHODS: Mapping[str, type[Training]] = {
    kind.name: kind for kind in (SilkTraining, Kp2dTraining, R2d2Training, MsNetTraining)
}


def read_training(name: str = DEFAULT_TRAINING) -> Training:
    """Read a recipe: one that comes with silk-sfm, by name, or the path of a TOML file.

    Its first line, `method = "kp2d"` or the like, decides which tables and keys it can have; SiLK
    without it. Raises ConfigError that names the file, the table and the key at fault.
    """
    path = find_recipe(name, training_names())
    tables = read_toml(path)
    method = tables.pop("method", SilkTraining.name)
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise ConfigError(f"Recipe {path}: unknown method {method!r}. Known: {known}.")
    return structure(METHODS[method], tables, f"Recipe {path}")

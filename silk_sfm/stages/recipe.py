"""Recipes: every choice of a reconstruction in one TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from silk_sfm import plugins
from silk_sfm.colmap.cameras import CameraOptions
from silk_sfm.colmap.mapping import MappingOptions
from silk_sfm.configs import find_recipe, recipe_names
from silk_sfm.errors import ConfigError
from silk_sfm.extractors.composed import JOINT
from silk_sfm.options import read_toml, structure, to_plain
from silk_sfm.stages.choice import Chosen, choose, load_plugin
from silk_sfm.stages.extract import ExtractionOptions
from silk_sfm.stages.match import MatchingOptions
from silk_sfm.stages.pair import PairOptions
from silk_sfm.stages.verify import VerificationOptions

DEFAULT_RECIPE = "silk"


@dataclass(frozen=True)
class Recipe:
    """What each stage does; every part has a default."""

    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)
    extractor: Chosen = field(default_factory=lambda: choose("extractors", "silk"))
    pairs: PairOptions = field(default_factory=PairOptions)
    matcher: Chosen = field(default_factory=lambda: choose("matchers", "double-softmax"))
    matching: MatchingOptions = field(default_factory=MatchingOptions)
    verification: VerificationOptions = field(default_factory=VerificationOptions)
    verifier: Chosen = field(default_factory=lambda: choose("verifiers", "magsac"))
    cameras: CameraOptions = field(default_factory=CameraOptions)
    mapping: MappingOptions = field(default_factory=MappingOptions)

    @staticmethod
    def read(name: str = DEFAULT_RECIPE) -> Recipe:
        """Read a recipe: one that comes with silk-sfm, by name, or the path of a TOML file.

        Raises ConfigError that names the file, the table and the key at fault.
        """
        path = find_recipe(name, recipe_names())
        tables = read_toml(path)
        parts: dict[str, Any] = {}
        for table, values in tables.items():
            if not isinstance(values, dict):
                raise ConfigError(f"Recipe {path}: `{table}` stands outside of a [table].")
            if table not in _SECTIONS and table not in _PLUGINS:
                known = ", ".join([*_SECTIONS, *_PLUGINS])
                raise ConfigError(f"Recipe {path}: unknown table [{table}]. Known: {known}.")
        for table, options in _SECTIONS.items():
            parts[table] = structure(options, tables.get(table, {}), f"Recipe {path}: [{table}]")
        for table, kind in _PLUGINS.items():
            if table in tables:
                parts[table] = _chosen(kind, tables[table], f"Recipe {path}: [{table}]")
        return Recipe(**parts)

    def to_plain(self) -> dict[str, Any]:
        """All choices as JSON-ready values."""
        plain = {table: to_plain(getattr(self, table)) for table in _SECTIONS}
        for table in _PLUGINS:
            chosen: Chosen = getattr(self, table)
            plain[table] = {"name": chosen.name, **to_plain(chosen.options)}
        return plain


_SECTIONS: dict[str, Any] = {
    "extraction": ExtractionOptions,
    "pairs": PairOptions,
    "matching": MatchingOptions,
    "verification": VerificationOptions,
    "cameras": CameraOptions,
    "mapping": MappingOptions,
}
_PLUGINS: dict[str, plugins.Kind] = {
    "extractor": "extractors",
    "matcher": "matchers",
    "verifier": "verifiers",
}


def _chosen(kind: plugins.Kind, values: Mapping[str, Any], where: str) -> Chosen:
    if "name" not in values:
        raise ConfigError(
            f"{where}: `name` is missing. Installed: {', '.join(plugins.names(kind))}."
        )
    options = {key: value for key, value in values.items() if key != "name"}
    plugin = load_plugin(kind, values["name"])
    return Chosen(values["name"], structure(plugin.Options, options, where))


def with_plugin(recipe: Recipe, table: str, name: str) -> Recipe:
    """The recipe with another plug-in in `table`; its options stay when the name stays."""
    if getattr(recipe, table).name == name:
        return recipe
    changed: Any = {table: choose(_PLUGINS[table], name)}
    return dataclasses.replace(recipe, **changed)


def with_parts(recipe: Recipe, detector: str | None, descriptor: str | None) -> Recipe:
    """The recipe with keypoints of one extractor and descriptors of another.

    One that is not given is the recipe's; its options stay.
    """
    own = _parts(recipe.extractor)
    names = {"detector": detector or own["detector"].name}
    names["descriptor"] = descriptor or own["descriptor"].name
    chosen = choose("extractors", JOINT.join(names.values()))
    kept = {part: own[part].options for part, name in names.items() if name == own[part].name}
    options = dataclasses.replace(chosen.options, **kept)
    return dataclasses.replace(recipe, extractor=Chosen(chosen.name, options))


def _parts(extractor: Chosen) -> dict[str, Chosen]:
    """Detector and descriptor of an extractor: its two, or itself as both."""
    detector, joint, descriptor = extractor.name.partition(JOINT)
    if not joint:
        return {"detector": extractor, "descriptor": extractor}
    return {
        "detector": Chosen(detector, extractor.options.detector),
        "descriptor": Chosen(descriptor, extractor.options.descriptor),
    }

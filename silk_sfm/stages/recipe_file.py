"""Writing a recipe as TOML that `Recipe.read` reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from silk_sfm.files import whole_file
from silk_sfm.stages.recipe import Recipe


def recipe_text(recipe: Recipe, comment: str) -> str:
    """All tables of a recipe; `comment` stands on top, line by line.

    What is None is left out, for TOML has no word for it: read back it is the option's default.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for table, values in recipe.to_plain().items():
        entries = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
        lines += ["", f"[{table}]", *entries]
    return "\n".join(lines) + "\n"


def write_recipe(recipe: Recipe, path: Path, comment: str) -> None:
    """Write a recipe, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(recipe_text(recipe, comment), encoding="utf-8")


def _toml(value: Any) -> str:
    """A TOML value; strings, numbers, truth values and lists are written as in JSON."""
    if isinstance(value, dict):
        inner = ", ".join(
            f"{key} = {_toml(each)}" for key, each in value.items() if each is not None
        )
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)

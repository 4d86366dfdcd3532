"""The groups of figures, and running them."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from silk_sfm.benchmarking.figures import Figures, Measured, Scope, measure
from silk_sfm.errors import ConfigError

GROUPS = (
    "extraction",
    "pairs",
    "matching",
    "scheduling",
    "stores",
    "verification",
    "database",
    "training",
    "pipeline",
)
"""A module of this package each, with a function `figures(scope)`; in the order of the table."""


def choose_groups(names: Sequence[str]) -> tuple[str, ...]:
    """The groups called `names`, in the order of the table; all without names.

    Raises ConfigError for a name that is none.
    """
    for name in names:
        if name not in GROUPS:
            close = difflib.get_close_matches(name, GROUPS, n=1)
            hint = f" Did you mean `{close[0]}`?" if close else ""
            raise ConfigError(f"No figures `{name}`; there are: {', '.join(GROUPS)}.{hint}")
    return tuple(name for name in GROUPS if name in names or not names)


def figures_of(group: str) -> Figures:
    """What makes the figures of a group."""
    made: Figures = import_module(f"silk_sfm.benchmarking.{group}").figures
    return made


def measure_groups(groups: Sequence[str], scope: Scope) -> Iterator[Measured]:
    """Measure the figures of `groups`, one after the other; each group gets an empty folder."""
    for group in groups:
        with tempfile.TemporaryDirectory(dir=scope.folder, prefix=f"{group}-") as folder:
            here = replace(scope, folder=Path(folder))
            for figure in figures_of(group)(here):
                yield measure(figure, here)

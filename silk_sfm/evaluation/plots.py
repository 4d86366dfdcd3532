"""Pictures of results: metrics over their threshold as curves, all others as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation.protocol import Row
from silk_sfm.evaluation.tables import curve_families
from silk_sfm.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHORTEST_CURVE = 3
PANEL_INCHES = (4.2, 3.4)
MAX_PANELS = 6
"""Pictures show so many jobs and subsets, the first ones; tables have all."""


def check_plots() -> None:
    """Raises ConfigError when matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "Plots need matplotlib: pip install 'silk-sfm[viz]', or leave them out: --no-plots."
        )


def write_plots(title: str, rows: Sequence[Row], out: Path) -> list[Path]:
    """Write a PNG for each metric with three or more thresholds, and one for all others.

    Curves have a panel for each of the first jobs and subsets; the other metrics have a panel each,
    for their units differ. A line or a bar is a method, or an estimator of it where it has several.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    curves = {
        stem: thresholds
        for stem, thresholds in curve_families(names).items()
        if len(thresholds) >= SHORTEST_CURVE
    }
    written: list[Path] = []
    panels = _panels(rows)
    for stem, thresholds in curves.items():
        figure = _figure(title, list(panels))
        for axes, panel in zip(figure.axes, panels.values(), strict=True):
            _draw_curves(axes, panel, stem, thresholds)
        written.append(save_figure(figure, out / f"{_file_name(stem)}.png"))
    bars = [name for name in names if name.partition("@")[0] not in curves]
    if bars:
        figure = _figure(title, bars)
        for axes, name in zip(figure.axes, bars, strict=True):
            _draw_bars(axes, panels, name)
        written.append(save_figure(figure, out / "metrics.png"))
    return written


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    with whole_file(path) as part:
        figure.savefig(part, format="png", dpi=120)
    return path


def _panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each job and subset, by what heads the panel; at most MAX_PANELS."""
    panels: dict[str, list[Row]] = {}
    for row in rows:
        heading = row.job if row.subset == row.job else f"{row.job}, {row.subset}"
        panels.setdefault(heading, []).append(row)
    return dict(list(panels.items())[:MAX_PANELS])


def new_figure(title: str, inches: tuple[float, float]) -> Figure:
    """An empty figure that is drawn to memory: no window, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    return figure


def _figure(title: str, headings: Sequence[str]) -> Figure:
    n_columns = min(3, len(headings))
    n_lines = -(-len(headings) // n_columns)
    width, height = PANEL_INCHES
    figure = new_figure(title, (width * n_columns, height * n_lines))
    for index, name in enumerate(headings):
        axes = figure.add_subplot(n_lines, n_columns, index + 1)
        axes.set_title(name, fontsize=9)
    return figure


def _draw_curves(axes: Any, rows: Sequence[Row], stem: str, thresholds: Sequence[str]) -> None:
    for row, label in zip(rows, _labels(rows), strict=True):
        known = [each for each in thresholds if f"{stem}@{each}" in row.metrics]
        values = [row.metrics[f"{stem}@{each}"] for each in known]
        axes.plot([float(each) for each in known], values, marker=".", label=label)
    axes.set_xlabel("threshold")
    axes.set_ylabel(stem)
    axes.set_ylim(0, None if max(axes.get_ylim()) > 2 else 1)  # most metrics are shares
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _draw_bars(axes: Any, panels: Mapping[str, Sequence[Row]], name: str) -> None:
    """A group of bars for each panel of the curves."""
    values = {
        heading: {
            label: row.metrics.get(name, float("nan"))
            for row, label in zip(rows, _labels(rows), strict=True)
        }
        for heading, rows in panels.items()
    }
    labels = list(dict.fromkeys(label for group in values.values() for label in group))
    width = 0.8 / len(labels)
    for index, label in enumerate(labels):
        places = [place + (index + 0.5) * width - 0.4 for place in range(len(values))]
        heights = [group.get(label, float("nan")) for group in values.values()]
        axes.bar(places, heights, width, label=label)
    axes.set_xticks(range(len(values)), list(values), rotation=20, fontsize=7)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=7)


def _labels(rows: Sequence[Row]) -> list[str]:
    """The method of each row, with estimator and threshold when it has several rows."""
    methods = [row.method for row in rows]
    return [
        row.method
        if methods.count(row.method) == 1
        else f"{row.method}, {row.estimator}, {row.threshold}"
        for row in rows
    ]


def _file_name(stem: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in stem.lower())

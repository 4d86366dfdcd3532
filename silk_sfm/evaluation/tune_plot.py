"""A picture of a sweep: the score over each choice that was varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silk_sfm.evaluation.plots import PANEL_INCHES, new_figure, save_figure


@dataclass(frozen=True)
class SweepPanel:
    """What was varied, in its unit, and for each line of the panel the scores by value."""

    varied: str
    lines: Mapping[str, Mapping[float, float]]


def write_sweep_plot(title: str, score: str, panels: Sequence[SweepPanel], path: Path) -> Path:
    """Write a PNG with a panel for each choice that was varied."""
    width, height = PANEL_INCHES
    figure = new_figure(title, (width * len(panels), height))
    for index, panel in enumerate(panels):
        axes: Any = figure.add_subplot(1, len(panels), index + 1)
        for label, scores in panel.lines.items():
            values = sorted(scores)
            axes.plot(values, [scores[value] for value in values], marker="o", label=label)
        axes.set_xlabel(panel.varied)
        axes.set_ylabel(score)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return save_figure(figure, path)

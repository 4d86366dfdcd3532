"""Rows as text, Markdown, CSV and JSON. Published rows stand in a block of their own."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from silk_sfm.evaluation.protocol import Row
from silk_sfm.evaluation.published import PublishedRow
from silk_sfm.files import whole_file

SETTINGS = ("method", "subset", "estimator", "threshold", "image_size", "keypoints", "repeats")
"""Columns of every measured row, before its metrics."""
LONG_CURVE = 6
SHOWN_OF_CURVE = ("1", "3", "5", "10")
"""Of a metric with more thresholds than LONG_CURVE, tables show these; CSV and JSON have all."""
COUNTS = (
    "failed",
    "images",
    "inliers",
    "keypoints",
    "matches",
    "pairs",
    "pairs without matches",
    "points",
    "registered",
)
"""Metrics that count something: 1 of them is no share of all."""
UNDEFINED = "-"
Cells = list[list[str]]


@dataclass(frozen=True)
class Results:
    """What an evaluation came to: measured rows under a title, and published ones to compare."""

    title: str
    rows: Sequence[Row]
    published: Sequence[PublishedRow] = ()

    def text(self) -> str:
        """Aligned columns for a terminal."""
        blocks = [f"{self.title}\n{_aligned(measured_cells(self.rows))}"]
        if self.published:
            blocks.append(f"published, not measured here\n{_aligned(self._published_cells())}")
        return "\n\n".join(blocks)

    def markdown(self) -> str:
        """Tables for a README."""
        blocks = [f"**{self.title}**\n\n{_piped(measured_cells(self.rows))}"]
        if self.published:
            blocks.append(f"Published, not measured here:\n\n{_piped(self._published_cells())}")
        return "\n\n".join(blocks) + "\n"

    def csv(self) -> str:
        """Every measured row with all its metrics."""
        names = _metric_names([row.metrics for row in self.rows])
        lines = [[*SETTINGS[:1], "job", *SETTINGS[1:], *names]]
        for row in self.rows:
            values = [row.metrics.get(name, math.nan) for name in names]
            settings = [row.method, row.job, *_settings(row)[1:]]
            lines.append([*settings, *(f"{value:.6g}" for value in values)])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        return text.getvalue()

    def plain(self) -> dict[str, Any]:
        """JSON-ready: title, measured rows, published rows; NaN becomes null."""
        return {
            "title": self.title,
            "measured": [_without_nan(asdict(row)) for row in self.rows],
            "published": [_without_nan(asdict(row)) for row in self.published],
        }

    def write(self, out: Path) -> list[Path]:
        """Write results.csv, results.json and results.md; returns their paths."""
        texts = {
            "results.csv": self.csv(),
            "results.json": json.dumps(self.plain(), indent=1) + "\n",
            "results.md": self.markdown(),
        }
        for name, text in texts.items():
            with whole_file(out / name) as part:
                part.write_text(text, encoding="utf-8")
        return [out / name for name in texts]

    def _published_cells(self) -> Cells:
        measured = _metric_names([row.metrics for row in self.rows])
        given = _metric_names([row.metrics for row in self.published])
        names = [name for name in measured if name in given]
        names += [name for name in given if name not in names]
        names = [name for name in names if name not in _hidden(measured)]
        lines = [["method", *names, "source", "protocol"]]
        for row in self.published:
            values = [_number(row.metrics.get(name, math.nan), name) for name in names]
            lines.append([row.method, *values, row.source, row.protocol])
        return lines


def measured_cells(rows: Sequence[Row]) -> Cells:
    """Header and rows; methods of one job and subset stand together."""
    names = _metric_names([row.metrics for row in rows])
    names = [name for name in names if name not in _hidden(names)]
    groups = list(dict.fromkeys((row.job, row.subset) for row in rows))
    ordered = [row for group in groups for row in rows if (row.job, row.subset) == group]
    header = [name.replace("_", " ") for name in SETTINGS]
    return [
        [*header, *names],
        *(
            [*_settings(row), *(_number(row.metrics.get(name, math.nan), name) for name in names)]
            for row in ordered
        ),
    ]


def curve_families(names: Sequence[str]) -> dict[str, list[str]]:
    """The metrics `name@threshold` that share a name, with their thresholds as written."""
    families: dict[str, list[str]] = {}
    for name in names:
        stem, at, threshold = name.partition("@")
        if at:
            families.setdefault(stem, []).append(threshold)
    return families


def _hidden(names: Sequence[str]) -> set[str]:
    return {
        f"{stem}@{threshold}"
        for stem, thresholds in curve_families(names).items()
        for threshold in thresholds
        if len(thresholds) > LONG_CURVE and threshold not in SHOWN_OF_CURVE
    }


def _settings(row: Row) -> list[str]:
    return [
        row.method,
        row.subset,
        row.estimator,
        row.threshold,
        row.image_size,
        UNDEFINED if math.isnan(row.keypoints) else f"{row.keypoints:.0f}",
        str(row.repeats),
    ]


def _metric_names(metrics: Sequence[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for each in metrics for name in each))


def _number(value: float, name: str) -> str:
    """Three decimals for shares, fewer for larger numbers, none for whole counts."""
    if math.isnan(value):
        return UNDEFINED
    is_whole = value == round(value, 0) and (abs(value) >= 10 or name in COUNTS)
    if abs(value) >= 1000 or is_whole:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _aligned(cells: Cells) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join(lines)


def _piped(cells: Cells) -> str:
    lines = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([lines[0], "|-" * len(cells[0]) + "|", *lines[1:]])


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

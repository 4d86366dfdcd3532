"""Measured figures as a Markdown table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from silk_sfm.benchmarking.figures import Measured

HEADER = ("figure", "unit", "silk-sfm", "baseline", "ratio", "the baseline")


def as_table(
    machine: Mapping[str, str], versions: Mapping[str, str], rows: Sequence[Measured]
) -> str:
    """The machine, the versions, and a row for each figure; notes below the table."""
    cells = [HEADER, tuple("-" for _ in HEADER), *map(_cells, rows)]
    lines = [
        "; ".join(f"{label}: {value}" for label, value in machine.items()),
        "; ".join(f"{library} {version}" for library, version in versions.items()),
        "",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]
    notes = [f"- {row.figure.name}: {row.figure.note}." for row in rows if row.figure.note]
    return "\n".join([*lines, "", *notes] if notes else lines)


def as_json(
    command: Sequence[str],
    machine: Mapping[str, str],
    versions: Mapping[str, str],
    rows: Sequence[Measured],
) -> str:
    """Everything, with the number of every repeat."""
    content = {
        "command": list(command),
        "machine": dict(machine),
        "versions": dict(versions),
        "figures": [_plain(row) for row in rows],
    }
    return json.dumps(content, indent=1) + "\n"


def _cells(row: Measured) -> tuple[str, ...]:
    figure = row.figure
    baseline = number(median(row.baseline)) if row.baseline else ""
    ratio = f"{row.ratio:.2f}x" if row.ratio is not None else ""
    return figure.name, figure.unit, number(median(row.ours)), baseline, ratio, figure.against


def _plain(row: Measured) -> dict[str, Any]:
    figure = row.figure
    return {
        "name": figure.name,
        "unit": figure.unit,
        "more_is_better": figure.more_is_better,
        "ours": row.ours,
        "baseline": row.baseline,
        "ratio": row.ratio,
        "against": figure.against,
        "note": figure.note,
    }


def number(value: float) -> str:
    """Three significant digits, and all digits before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"

"""The page itself: template, style, scripts and data in one file that needs no network."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from silk_sfm.files import whole_file
from silk_sfm.reporting.contents import contents
from silk_sfm.reporting.findings import Findings, Sources
from silk_sfm.reporting.gather import gather
from silk_sfm.reporting.pictures import make_pictures
from silk_sfm.stages.report import Track, silent

ASSETS = files("silk_sfm.reporting") / "assets"
SCRIPTS = ("page", "charts", "images", "pairs", "scene", "main")
"""In the order in which they run."""


@dataclass(frozen=True, eq=False)
class WrittenReport:
    """A report that was written: where, and what it tells.

    n_unseen: images whose photo is not on the page
    """

    path: Path
    n_bytes: int
    findings: Findings
    n_unseen: int

    def __str__(self) -> str:
        images = self.findings.images
        inside = sum(image.status == "registered" for image in images)
        unseen = f"{self.n_unseen} without a picture, " if self.n_unseen else ""
        return (
            f"report: {inside} of {len(images)} images registered, {unseen}"
            f"{self.n_bytes / 1e6:.1f} MB -> {self.path}"
        )


def write_report(sources: Sources, target: Path, track: Track = silent) -> WrittenReport:
    """Write the page. Errors as those of `gather`, and OSError when it cannot be written."""
    findings = gather(sources, track)
    pictures = make_pictures(findings, track)
    text = render(sources.title, contents(findings, pictures))
    data = text.encode("utf-8", "replace")  # names of folders need not be UTF-8
    with whole_file(target) as part:
        part.write_bytes(data)
    return WrittenReport(target, len(data), findings, pictures.n_missing)


def render(title: str, data: dict[str, Any]) -> str:
    """The HTML. `data` reaches the page as JSON, and from there only as text, never as HTML."""
    scripts = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return Template(_asset("report.html")).substitute(
        title=html.escape(title), style=_asset("report.css"), script=scripts, data=as_script(data)
    )


def as_script(data: dict[str, Any]) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")

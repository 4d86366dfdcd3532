"""The report on a folder that `silk-sfm reconstruct` wrote, or on a bare model."""

from __future__ import annotations

from pathlib import Path

from silk_sfm.colmap.model import read_model
from silk_sfm.errors import ImageError, ReconstructionError
from silk_sfm.reporting.findings import Sources
from silk_sfm.reporting.page import WrittenReport, write_report
from silk_sfm.stages.reconstruct import Workspace
from silk_sfm.stages.report import Track, silent
from silk_sfm.stages.run_record import RunRecord, read_run

PAGE = "report.html"


def sources_of(
    out: Path,
    photos: Path | None = None,
    features: Path | None = None,
    verified: Path | None = None,
) -> Sources:
    """What there is to report below `out`; what is given is taken instead.

    Raises ReconstructionError when there is neither a model nor a feature store, or a model that
    cannot be read, and ImageError when `photos` is no folder.
    """
    if photos is not None and not photos.is_dir():
        raise ImageError(f"{photos} is no folder. Give the one that the model's photos lie in.")
    files, run = Workspace(out), read_run(out)
    sources = Sources(
        title=out.resolve().name,
        models=_models(out),
        features=features or _existing(files.features),
        verified=verified or _existing(files.verified),
        photos=photos or _photos(out, run),
        run=run,
    )
    if not sources.models and sources.features is None:
        raise ReconstructionError(
            f"Nothing to report in {out}: no model and no features.h5. Give the folder that "
            "`silk-sfm reconstruct` wrote, or a COLMAP model."
        )
    return sources


def report_on(out: Path, sources: Sources, track: Track = silent) -> WrittenReport:
    """Write OUT/report.html."""
    return write_report(sources, out / PAGE, track)


def _models(out: Path) -> tuple[Path, ...]:
    """OUT/sparse/0, 1, ..., the one with the most images first, or OUT itself as a model."""
    if _is_model(out):
        return (out,)
    found = [path for path in (out / "sparse").glob("[0-9]*") if _is_model(path)]
    found.sort(key=lambda path: (len(path.name), path.name))
    if len(found) > 1:  # COLMAP writes them in the order in which they were made
        found.sort(key=lambda path: -len(read_model(path).poses))
    return tuple(found)


def _is_model(path: Path) -> bool:
    return any((path / f"images{suffix}").is_file() for suffix in (".bin", ".txt"))


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _photos(out: Path, run: RunRecord | None) -> Path | None:
    """The folder of the photos, unless it is gone."""
    return _existing(out / run.photos) if run else None

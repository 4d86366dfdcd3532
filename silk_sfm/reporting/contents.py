"""Findings as the JSON that the page draws: text, numbers, arrays in base64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from silk_sfm import __version__
from silk_sfm.colmap.model import summarise
from silk_sfm.reporting.encoding import as_base64
from silk_sfm.reporting.findings import STATUS_MEANING, Findings, ImageFinding, PairTable
from silk_sfm.reporting.pictures import Pictures, Thumbnail
from silk_sfm.reporting.scene import Scene, make_scene

MOST_PAIRS = 200_000
"""Verified pairs that the page holds: those with the most inliers."""
MOST_MARKED = 3000
"""Images up to which the matrix also marks pairs that were tried in vain."""
BINS = 40
LEAST_RANGE_PX = 1e-3
"""Errors of an all but perfect model are shown on a scale that the page can still write."""
Json = dict[str, Any]


def contents(findings: Findings, pictures: Pictures) -> Json:
    """All the page's data, JSON-ready."""
    run = findings.sources.run
    scene = make_scene(findings.model) if findings.model and findings.model.poses else None
    return {
        "title": findings.sources.title,
        "program": f"silk-sfm {__version__}",
        "made": datetime.now().astimezone().isoformat(timespec="minutes"),
        "summary": summary(findings),
        "statuses": STATUS_MEANING,
        "run": asdict(run) if run else None,
        "images": [_image(image, pictures.thumbnails.get(image.name)) for image in findings.images],
        "n_unseen": pictures.n_missing,
        "pairs": _pairs(findings.pairs, len(findings.images)) if findings.pairs else None,
        "pictures": [asdict(picture) for picture in pictures.pairs],
        "histograms": _histograms(findings),
        "scene": _scene(scene, findings) if scene else None,
    }


def summary(findings: Findings) -> Json:
    """The numbers at the top of the page; those that are not known are left out."""
    found: Json = {"images": len(findings.images), "models": list(findings.model_sizes)}
    if findings.model:
        numbers = summarise(findings.model)
        found |= {
            "registered": numbers.n_images,
            "points": numbers.n_points,
            "observations": numbers.n_observations,
            "track_length": numbers.track_length,
            "reprojection_px": numbers.reprojection_error,
        }
    counts = [image.n_keypoints for image in findings.images if image.n_keypoints is not None]
    if counts:
        found["keypoints"] = sum(counts)
    if findings.pairs:
        found |= {
            "pairs": len(findings.pairs),
            "verified_pairs": int(findings.pairs.verified.sum()),
            "inliers": int(findings.pairs.inliers.sum()),
        }
    return found


def _image(image: ImageFinding, thumbnail: Thumbnail | None) -> Json:
    errors = image.observed.errors if image.observed else np.zeros(0)
    known = errors[np.isfinite(errors)]
    return {
        "name": image.name,
        "status": image.status,
        "why": image.why,
        "keypoints": image.n_keypoints,
        "size": image.size,
        "observed": len(errors) if image.observed else None,
        "error_px": round(float(known.mean()), 3) if len(known) else None,
        "thumbnail": asdict(thumbnail) if thumbnail else None,
    }


def _pairs(pairs: PairTable, n_images: int) -> Json:
    verified = np.flatnonzero(pairs.verified)
    best = verified[np.argsort(-pairs.inliers[verified], kind="stable")][:MOST_PAIRS]
    return {
        "first": as_base64(pairs.first[best], "<u4"),
        "second": as_base64(pairs.second[best], "<u4"),
        "inliers": as_base64(pairs.inliers[best], "<u4"),
        "tentative": as_base64(pairs.tentative[best], "<u4"),
        "n_left_out": len(verified) - len(best),
        "in_vain": _marks(pairs, n_images) if n_images <= MOST_MARKED else None,
    }


def _marks(pairs: PairTable, n_images: int) -> str:
    """Bits of an (N, N) matrix, row by row: pairs without inliers; the first bit is the highest."""
    marks = np.zeros((n_images, n_images), bool)
    vain = ~pairs.verified
    marks[pairs.first[vain], pairs.second[vain]] = True
    return as_base64(np.packbits(marks | marks.T), "u1")


def _histograms(findings: Findings) -> list[Json]:
    """Reprojection errors of observations and track lengths of points."""
    if not findings.model or not len(findings.model.points):
        return []
    observed = [image.observed.errors for image in findings.images if image.observed]
    errors = np.concatenate(observed)
    known = errors[np.isfinite(errors)]
    tracks = track_histogram(findings.model.points.track_lengths)
    return [error_histogram(known), tracks] if len(known) else [tracks]


def error_histogram(errors: np.ndarray) -> Json:
    """(K,) pixels in equal bins up to the 99th percentile; the last bin has all above it."""
    end = max(float(np.percentile(errors, 99)), LEAST_RANGE_PX)
    edges = np.linspace(0, end, BINS + 1)
    counts = np.histogram(np.minimum(errors, end), edges)[0]
    return {
        "kind": "reprojection",
        "edges": [round(float(edge), 5) for edge in edges],
        "counts": counts.tolist(),
        "mean": round(float(errors.mean()), 4),
        "median": round(float(np.median(errors)), 4),
        "open_end": bool((errors > end).any()),
    }


def track_histogram(lengths: np.ndarray) -> Json:
    """(P,) track lengths, a bin for each; the last one has all that are longer."""
    start = int(min(lengths.min(), 2))
    end = int(max(np.ceil(np.percentile(lengths, 99)), start))
    counts = np.bincount(np.minimum(lengths, end), minlength=end + 1)[start:]
    return {
        "kind": "tracks",
        "edges": [number - 0.5 for number in range(start, end + 2)],
        "counts": counts.tolist(),
        "mean": round(float(lengths.mean()), 3),
        "median": float(np.median(lengths)),
        "open_end": bool((lengths > end).any()),
    }


def _scene(scene: Scene, findings: Findings) -> Json:
    rows: Mapping[str, int] = {name: row for row, name in enumerate(findings.names)}
    model_names: Sequence[str] = findings.model.names if findings.model else []
    return {
        "points": as_base64(scene.steps, "<u2"),
        "colours": as_base64(scene.colours, "u1"),
        "cameras": as_base64(scene.cameras, "<f4"),
        "images": [rows[name] for name in model_names],
        "n_hidden": scene.n_hidden,
        "frustum": scene.frustum,
        "radius": scene.radius,
        **{
            name: [float(value) for value in getattr(scene, name)]
            for name in ("origin", "extent", "up", "ahead", "target")
        },
    }

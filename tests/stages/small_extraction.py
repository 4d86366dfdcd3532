"""`silk-sfm extract` with small weights."""

from __future__ import annotations

from pathlib import Path

from in_process import Outcome, silk_sfm


def extract(inputs: Path, photos: Path, store: Path, *flags: object) -> Outcome:
    """Extract with the weights `inputs / micro.safetensors`."""
    weights = ["--weights", inputs / "micro.safetensors", "--device", "cpu", "--top-k", 100]
    return silk_sfm("extract", photos, store, "--no-refine", *weights, *flags)

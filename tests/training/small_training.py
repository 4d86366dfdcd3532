"""A training of seconds."""

from __future__ import annotations

from pathlib import Path

from photo_files import write_photos

from silk_sfm.stages.train import TrainingJob
from silk_sfm.training.albums import Source
from silk_sfm.training.homographies import WarpOptions
from silk_sfm.training.recipe import ScheduleOptions
from silk_sfm.training.silk import ModelOptions, SilkTraining


def small_training(**schedule: object) -> SilkTraining:
    """pvgg-micro on maps of 16 x 16 cells."""
    chosen = {
        "iterations": 12,
        "cells": 16,
        "epoch": 4,
        "validation_pairs": 2,
        "log_every": 2,
        "save_seconds": 0.0,
        "learning_rate": 1e-3,
        "photometric": "camera",
        **schedule,
    }
    return SilkTraining(
        ScheduleOptions(**chosen),  # type: ignore[arg-type]
        model=ModelOptions("pvgg-micro"),
        warps=WarpOptions(both=True, distance=2, curriculum=6),
    )


def small_job(folder: Path, name: str = "run", **schedule: object) -> TrainingJob:
    """Six photos, made when they are not there."""
    photos = folder / "photos"
    if not photos.exists():
        write_photos(photos, 6)
    return TrainingJob((Source(photos),), folder / name, small_training(**schedule), device="cpu")

"""What is written down of a training while it runs: figures and pictures.

Figures always go to a file of lines of JSON, pictures to PNG files beside it. TensorBoard or
Weights & Biases show both as well where chosen; they are imported only then.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from silk_sfm.errors import TrainingError
from silk_sfm.files import whole_file

Display = Literal["files", "tensorboard", "wandb"]
FIGURES, PICTURES, TENSORBOARD, WANDB = "log.jsonl", "pictures", "tensorboard", "wandb"
"""What a training writes into its folder."""
PROJECT = "silk-sfm"
"""Where Weights & Biases files a training."""


class TrainingLog(Protocol):
    """Takes figures and pictures of a training; `step` is the number of iterations done."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Figures by name; names with the same part before a slash belong together."""

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """An (H, W, 3) uint8 RGB picture."""

    def close(self) -> None:
        """Nothing more will come."""


class Logs:
    """Several logs as one; none at all for a process that does not write."""

    def __init__(self, logs: Sequence[TrainingLog] = ()) -> None:
        self._logs = logs

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `TrainingLog`."""
        for log in self._logs:
            log.scalars(step, values)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """See `TrainingLog`."""
        for log in self._logs:
            log.picture(step, name, pixels)

    def close(self) -> None:
        """See `TrainingLog`."""
        for log in self._logs:
            log.close()


def open_log(folder: Path, step: int, display: Display = "files") -> Logs:
    """The log of a training in `folder` that goes on after `step` iterations.

    What was logged of later iterations, by a run that was killed before it saved them, is removed.
    Raises TrainingError when the package behind `display` is not installed.
    """
    logs: list[TrainingLog] = []
    if display == "tensorboard":
        logs.append(TensorBoardLog(folder / TENSORBOARD, step))
    elif display == "wandb":
        logs.append(WandbLog(folder))
    return Logs([*logs, FileLog(folder, step)])


def remove_logs(folder: Path) -> None:
    """Remove what logs wrote into the folder of a training."""
    (folder / FIGURES).unlink(missing_ok=True)
    for name in (PICTURES, TENSORBOARD, WANDB):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)


class FileLog:
    """`log.jsonl`, a line for each call, and `pictures/NAME/STEP.png`.

    A line has the keys `step` and `time` (seconds since 1970), then the figures; one that is no
    number is null. It is on the disk when `scalars` returns.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._pictures = folder / PICTURES
        _cut_figures(folder / FIGURES, step)
        _cut_pictures(self._pictures, step)
        folder.mkdir(parents=True, exist_ok=True)
        self._figures = (folder / FIGURES).open("a", encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `TrainingLog`."""
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = json.dumps({"step": step, "time": round(time.time(), 3), **numbers})
        self._figures.write(f"{line}\n")
        self._figures.flush()
        os.fsync(self._figures.fileno())

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """See `TrainingLog`."""
        _, coded = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
        with whole_file(self._pictures / name / f"{step:07d}.png") as part:
            part.write_bytes(coded.tobytes())

    def close(self) -> None:
        """See `TrainingLog`."""
        self._figures.close()


def _cut_figures(path: Path, last: int) -> None:
    """Keep the lines up to step `last`; a line that a power cut left unfinished ends the file."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept: list[bytes] = []
    for line in lines:
        step = _step_of(line)
        if step is None:
            break
        if step <= last:
            kept.append(line)
    if len(kept) < len(lines):
        with whole_file(path) as part:
            part.write_bytes(b"".join(kept))


def _step_of(line: bytes) -> int | None:
    """The step of a line of the log; None when it is not whole."""
    try:
        return int(json.loads(line)["step"]) if line.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None


def _cut_pictures(folder: Path, last: int) -> None:
    for path in folder.glob("*/*.png"):
        if path.stem.isdigit() and int(path.stem) > last:
            path.unlink()


class TensorBoardLog:
    """Event files that `tensorboard --logdir FOLDER` shows."""

    def __init__(self, folder: Path, step: int) -> None:
        writer = _imported("torch.utils.tensorboard", "tensorboard", "'silk-sfm[train]'")
        # Readers drop what earlier files of the folder hold from `purge_step` on.
        self._writer = writer.SummaryWriter(str(folder), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `TrainingLog`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """See `TrainingLog`."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """See `TrainingLog`."""
        self._writer.close()


class WandbLog:
    """A run of Weights & Biases; a training that is resumed goes on with the same one.

    Its own settings (WANDB_MODE=offline, WANDB_PROJECT, ...) hold.
    """

    def __init__(self, folder: Path) -> None:
        self._wandb = _imported("wandb", "wandb", "wandb")
        kept = folder / WANDB / "run"
        if not kept.exists():
            with whole_file(kept) as part:
                part.write_text(secrets.token_hex(4), encoding="utf-8")
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(folder),
            id=kept.read_text(encoding="utf-8"),
            resume="allow",
        )
        # Its own counter only rises; iterations that are done again have the same number again.
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `TrainingLog`."""
        self._run.log({"step": step, **values})

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """See `TrainingLog`."""
        self._run.log({"step": step, name: self._wandb.Image(pixels)})

    def close(self) -> None:
        """See `TrainingLog`."""
        self._run.finish()


def _imported(module: str, package: str, requirement: str) -> Any:
    """A module of a package that is not always there."""
    try:
        return import_module(module)
    except ImportError as error:
        raise TrainingError(
            f"This log needs the package {package}, which cannot be imported ({error}). Install it "
            f"with `pip install {requirement}`, or choose `--display files`."
        ) from error

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from silk_sfm.errors import TrainingError
from silk_sfm.training.logs import (
    FIGURES,
    PICTURES,
    TENSORBOARD,
    Logs,
    open_log,
    remove_logs,
)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FIGURES).read_text().splitlines()]


def figures(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["training/loss"]) for line in lines(folder)]


def picture(shade: int = 0) -> np.ndarray:
    """(4, 6, 3) uint8, no two channels alike."""
    pixels = np.full((4, 6, 3), shade, np.uint8)
    pixels[1, 2] = (200, 100, 50)
    return pixels


def test_figures_are_lines_of_json(tmp_path: Path) -> None:
    log = open_log(tmp_path / "new", 0)
    log.scalars(50, {"training/loss": 2.5, "training/f1": 0.25})
    log.scalars(100, {"validation/loss": math.nan})
    first, second = lines(tmp_path / "new")
    assert first.pop("time") <= second.pop("time")
    assert first == {"step": 50, "training/loss": 2.5, "training/f1": 0.25}
    assert second == {"step": 100, "validation/loss": None}
    log.close()


def test_a_resume_removes_what_was_not_saved(tmp_path: Path) -> None:
    log = open_log(tmp_path, 0)
    for step in (50, 100, 150):
        log.scalars(step, {"training/loss": float(step)})
        log.picture(step, "matches", picture())
    log.close()
    before = (tmp_path / FIGURES).read_text()
    with (tmp_path / FIGURES).open("a") as file:
        file.write('{"step": 90, "training/lo')  # as a power cut leaves it
    log = open_log(tmp_path, 100)
    assert (tmp_path / FIGURES).read_text() == "".join(before.splitlines(keepends=True)[:2])
    pictures = sorted(path.name for path in (tmp_path / PICTURES / "matches").iterdir())
    assert pictures == ["0000050.png", "0000100.png"]
    log.scalars(150, {"training/loss": -1.0})
    log.close()
    assert figures(tmp_path) == [(50, 50.0), (100, 100.0), (150, -1.0)]


def test_a_resume_keeps_whole_logs_as_they_are(tmp_path: Path) -> None:
    log = open_log(tmp_path, 0)
    log.scalars(50, {"training/loss": 1.0})
    log.close()
    written = (tmp_path / FIGURES).stat()
    open_log(tmp_path, 50).close()
    assert (tmp_path / FIGURES).stat().st_ino == written.st_ino
    assert figures(tmp_path) == [(50, 1.0)]


def test_a_new_training_starts_an_empty_log(tmp_path: Path) -> None:
    for _ in range(2):
        log = open_log(tmp_path, 0)
        log.scalars(50, {"training/loss": 1.0})
        log.close()
    assert figures(tmp_path) == [(50, 1.0)]


def test_a_killed_process_leaves_all_lines(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from silk_sfm.training.logs import open_log
log = open_log(Path({str(tmp_path)!r}), 0)
for step in range(1, 21):
    log.scalars(step, {{"training/loss": step / 2}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert figures(tmp_path) == [(step, step / 2) for step in range(1, 21)]


def test_pictures_are_files(tmp_path: Path) -> None:
    log = open_log(tmp_path, 0)
    log.picture(1000, "keypoints", picture(7))
    log.close()
    read = cv2.imread(str(tmp_path / PICTURES / "keypoints" / "0001000.png"))[:, :, ::-1]
    np.testing.assert_array_equal(read, picture(7))


def test_tensorboard_reads_what_was_logged(tmp_path: Path) -> None:
    log = open_log(tmp_path, 0, "tensorboard")
    for step in (50, 100, 150):
        log.scalars(step, {"training/loss": step / 100})
    log.picture(100, "matches", picture(9))
    log.close()
    log = open_log(tmp_path, 100, "tensorboard")
    log.scalars(150, {"training/loss": 9.0})
    log.close()
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    found = [(event.step, event.value) for event in events.Scalars("training/loss")]
    assert found == [(50, 0.5), (100, 1.0), (150, 9.0)]
    (shown,) = events.Images("matches")
    coded = np.frombuffer(shown.encoded_image_string, np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1], picture(9))
    assert shown.step == 100
    assert figures(tmp_path) == [(50, 0.5), (100, 1.0), (150, 9.0)]


class FakeWandb:
    """Remembers what a training says to Weights & Biases."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.finished = 0

    def init(self, **settings: Any) -> SimpleNamespace:
        self.runs.append(settings)
        return SimpleNamespace(
            define_metric=lambda name, step_metric: None,
            log=self.logged.append,
            finish=self.finish,
        )

    def finish(self) -> None:
        self.finished += 1

    def Image(self, pixels: np.ndarray) -> tuple[str, np.ndarray]:
        return "image", pixels


def test_a_resumed_training_is_the_same_run_of_wandb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    log = open_log(tmp_path / "a", 0, "wandb")
    log.scalars(50, {"training/loss": 2.0})
    log.picture(50, "matches", picture())
    log.close()
    open_log(tmp_path / "a", 50, "wandb").close()
    open_log(tmp_path / "b", 0, "wandb").close()
    first, resumed, other = (run["id"] for run in fake.runs)
    assert first == resumed != other
    assert fake.runs[0]["resume"] == "allow" and fake.runs[0]["project"] == "silk-sfm"
    assert fake.logged[0] == {"step": 50, "training/loss": 2.0}
    assert fake.logged[1]["matches"][0] == "image"
    assert fake.finished == 3


@pytest.mark.parametrize(
    ("display", "package", "requirement"),
    [("tensorboard", "tensorboard", "'silk-sfm[train]'"), ("wandb", "wandb", "wandb")],
)
def test_a_package_that_is_absent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, display: Any, package: str, requirement: str
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    with pytest.raises(TrainingError) as caught:
        open_log(tmp_path, 0, display)
    assert str(caught.value) == (
        f"This log needs the package {package}, which cannot be imported (import of {package} "
        "halted; None in sys.modules). Install it with `pip install "
        f"{requirement}`, or choose `--display files`."
    )
    assert list(tmp_path.iterdir()) == []


def test_logs_are_removed_and_nothing_else(tmp_path: Path) -> None:
    log = open_log(tmp_path, 0, "tensorboard")
    log.scalars(1, {"training/loss": 1.0})
    log.picture(1, "matches", picture())
    log.close()
    (tmp_path / "last.pt").write_text("state")
    remove_logs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    remove_logs(tmp_path)


def test_a_process_that_does_not_write_has_no_log() -> None:
    silent = Logs()
    silent.scalars(1, {"training/loss": 1.0})
    silent.picture(1, "matches", picture())
    silent.close()

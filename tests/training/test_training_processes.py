"""Trainings in processes of their own: killed, resumed, and several together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import finish, start
from photo_files import write_photos

ARGUMENTS = [
    "--model.backbone", "pvgg-micro", "--schedule.cells", "16", "--schedule.log-every", "2",
    "--schedule.validation-pairs", "2", "--schedule.save-seconds", "0", "--device", "cpu",
]  # fmt: skip


def command(folder: Path, name: str, iterations: int, epoch: int) -> list[str]:
    counts = ["--schedule.iterations", str(iterations), "--schedule.epoch", str(epoch)]
    return ["train", str(folder / "photos"), str(folder / name), *ARGUMENTS, *counts]


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


@pytest.mark.slow
def test_a_killed_training_has_the_losses_of_an_undisturbed_one(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 5)
    assert finish(command(tmp_path, "whole", 120, 40)) == 0
    killed = start(command(tmp_path, "killed", 120, 40))
    log = tmp_path / "killed" / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < 20:
        assert killed.is_alive()
    killed.kill()
    killed.join()
    reached = torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["progress"]
    assert 0 < reached["iteration"] < 120
    told = tmp_path / "told.txt"
    assert finish(command(tmp_path, "killed", 120, 40), told) == 0
    assert told.read_text().startswith("train: 120 of 120 iterations on 4 photos")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    one, other = (tmp_path / name / "weights.safetensors" for name in ("killed", "whole"))
    assert one.read_bytes() == other.read_bytes()
    assert not list((tmp_path / "killed").rglob("*.part-*"))


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 5)
    done = torchrun("-m", "silk_sfm", *command(tmp_path, "two", 8, 4))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("train: 8 of 8 iterations") == 1
    assert finish(command(tmp_path, "one", 8, 4)) == 0
    both, single = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert both.keys() == single.keys()
    assert both != single  # the gradient is the mean of two pairs
    settings = json.loads((tmp_path / "two" / "train.json").read_text())
    assert settings["processes"] == 2
    assert (tmp_path / "two" / "weights.safetensors").exists()


TOGETHER = """
import torch
from silk_sfm.training.processes import joined

with joined("cpu") as process:
    assert process.count == 2
    mine = torch.tensor([float(process.rank), torch.nan if process.rank else 1.0])
    mean = process.mean(mine)
    assert float(mean[0]) == 0.5 and bool(mean[1].isnan())
    assert mine[0] == process.rank
    assert process.any_of(process.rank == 1) and not process.any_of(False)
    norm = torch.nn.BatchNorm2d(3)
    norm(torch.full((2, 3, 4, 4), 1.0 + process.rank))
    process.align(norm)
    assert torch.allclose(norm.running_mean, torch.full((3,), 0.1))
    print("is done")
"""


@pytest.mark.slow
def test_what_processes_agree_on(tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    done = torchrun(str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is done") == 2


@pytest.mark.slow
def test_all_processes_stop_when_one_goes_wrong(tmp_path: Path) -> None:
    """The loss of the second process alone is no number."""
    write_photos(tmp_path / "photos", 5)
    script = tmp_path / "spoilt.py"
    script.write_text(SPOILT.format(arguments=command(tmp_path, "run", 8, 4)))
    done = torchrun(str(script))
    assert done.stdout.count("status 1") == 2, done.stderr
    assert done.stderr.count("Training went wrong before iteration 2: the mean loss is nan") == 2


SPOILT = """
import os, sys
from silk_sfm.cli.main import main
from silk_sfm.training.loop import Window

add = Window.add
def spoilt(window, figures):
    add(window, {{name: value + (float("nan") if os.environ["RANK"] == "1" else 0)
                 for name, value in figures.items()}})
Window.add = spoilt
print("status", main({arguments}))
"""


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a program."""
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    anywhere = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return subprocess.run(
        [*start, *anywhere, *words],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

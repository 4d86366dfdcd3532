"""KP2D, R2D2 and MSNet in the loop that SiLK is trained with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_files import blob_stack, write_photos
from torch import Tensor

from silk_sfm.cli.main import main
from silk_sfm.errors import ConfigError
from silk_sfm.nn.weights import read_metadata
from silk_sfm.stages.train import TrainingJob, train_network
from silk_sfm.store import FeatureStore
from silk_sfm.training.albums import Source
from silk_sfm.training.kp2d import Kp2dModelOptions, Kp2dTraining
from silk_sfm.training.kp2d_losses import Kp2dLossOptions
from silk_sfm.training.learner import Learner
from silk_sfm.training.methods import METHODS
from silk_sfm.training.msnet_losses import MsNetLossOptions
from silk_sfm.training.processes import Process
from silk_sfm.training.r2d2_losses import R2d2LossOptions
from silk_sfm.training.recipe import ScheduleOptions, Training
from silk_sfm.training.views import Views

FAMILY = ["kp2d", "r2d2", "msnet"]
SLOW_FIRST = [pytest.param("kp2d", marks=pytest.mark.slow), "r2d2", "msnet"]
CELLS = {"kp2d": 8, "r2d2": 40, "msnet": 12}
LOSSES = {
    "kp2d": Kp2dLossOptions(),
    "r2d2": R2d2LossOptions(border=8, query_spacing=4),
    "msnet": MsNetLossOptions(points=200, interval=2),
}
LEARNED = {
    "kp2d": {"location", "descriptor", "score", "agreement", "inliers", "recall"},
    "r2d2": {"reliability", "similarity", "peakiness", "precision"},
    "msnet": {"right", "wrong"},
}
JUDGED = {"repeatability", "matching"}
STACK, SHARES = blob_stack(2), torch.ones(2)


def training(name: str, **schedule: object) -> Training:
    """A training of seconds."""
    chosen = {
        "iterations": 4,
        "cells": CELLS[name],
        "epoch": 2,
        "validation_pairs": 1,
        "log_every": 2,
        "save_seconds": 0.0,
        "learning_rate": 1e-3,
        "photometric": "camera",
        **schedule,
    }
    options = ScheduleOptions(**chosen)  # type: ignore[arg-type]
    return METHODS[name](options, loss=LOSSES[name])  # type: ignore[call-arg]


def learner(chosen: Training) -> Learner:
    network = chosen.first_network()
    return Learner(network, chosen.method(network), chosen, Process())


@pytest.mark.parametrize("name", SLOW_FIRST)
def test_steps_lower_the_loss_on_the_pairs_they_learn_from(name: str) -> None:
    taught = learner(training(name, photometric="none"))
    losses = [float(taught.step(0, STACK, SHARES)["loss"]) for _ in range(13)]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.parametrize("name", FAMILY)
def test_views_are_in_colour_and_as_large_as_their_cells(name: str) -> None:
    taught = learner(training(name))
    views = taught.batch(0, STACK, SHARES, CELLS[name])
    side = CELLS[name] * {"kp2d": 8, "r2d2": 1, "msnet": 4}[name]
    assert views.a.shape == views.b.shape == (1, 3, side, side)
    assert not torch.equal(views.a[:, 0], views.a[:, 1])


@pytest.mark.parametrize("name", FAMILY)
def test_the_same_iteration_learns_the_same_and_leaves_the_generators_alone(name: str) -> None:
    one, other = learner(training(name)), learner(training(name))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = one.step(7, STACK, SHARES)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)  # dropout must not depend on it
    second = other.step(7, STACK, SHARES)
    assert first.keys() == second.keys() == {"loss"} | LEARNED[name]
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", FAMILY)
def test_validation_has_a_score_and_changes_nothing(name: str) -> None:
    taught = learner(training(name))
    before = {key: value.clone() for key, value in taught.network.state_dict().items()}
    figures = taught.validate(STACK, SHARES)
    assert figures == taught.validate(STACK, SHARES)
    extra = {"pck"} if name == "msnet" else set()
    assert set(figures) == {"loss"} | LEARNED[name] | JUDGED | extra
    assert all(0 <= figures[key] <= 1 for key in JUDGED | extra)
    after = taught.network.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", FAMILY)
def test_a_view_matches_itself(name: str) -> None:
    taught = learner(training(name, photometric="none"))
    image = taught.batch(0, STACK, SHARES, CELLS[name]).a
    same = Views(image, image, torch.eye(3, dtype=torch.float64)[None])
    sight = taught.look(same)
    assert len(sight.a.keypoints) > 5
    assert sight.a.image.shape == image.shape[2:]
    assert sight.a.repeated.all() and sight.right.all()
    assert len(sight.matches) == len(sight.a.keypoints)
    judged = learner(training(name)).validate(STACK, SHARES)
    assert judged["matching"] < 1


@pytest.mark.parametrize("name", FAMILY)
def test_the_worst_loss_is_above_that_of_any_network(name: str) -> None:
    chosen = training(name)
    taught = learner(chosen)
    worst = taught.worst_loss(CELLS[name])
    assert float(taught.step(0, STACK, SHARES)["loss"]) < worst < float("inf")


@pytest.mark.parametrize("name", FAMILY)
def test_bfloat16_learns_nearly_the_same(name: str) -> None:
    exact, rough = (
        learner(training(name, arithmetic=kind)).step(0, STACK, SHARES)
        for kind in ("float32", "bfloat16")
    )
    assert all(value.dtype == torch.float32 for value in rough.values())
    assert float(rough["loss"]) == pytest.approx(float(exact["loss"]), rel=0.1)
    assert float(rough["loss"]) != float(exact["loss"])


def test_views_that_are_too_small() -> None:
    with pytest.raises(ConfigError) as caught:
        training("kp2d", cells=6)
    assert str(caught.value) == (
        "cells must be at least 7, got 6: fewer than 20 would not be on the border."
    )
    with pytest.raises(ConfigError, match="cells must be at least 17, got 16: of `border` and"):
        training("r2d2", last_cells=16)
    with pytest.raises(ConfigError, match="cells must be at least 2, got 1: every `interval`-th"):
        training("msnet", cells=1)
    learner(training("msnet", cells=2)).step(0, STACK, SHARES)
    learner(training("kp2d", cells=7)).step(0, STACK, SHARES)
    learner(training("r2d2", cells=17)).step(0, STACK, SHARES)


def test_known_largest_losses() -> None:
    assert learner(training("r2d2")).worst_loss(40) == 3
    assert learner(training("msnet")).worst_loss(12) == 2.5


def test_kp2d_without_upsampling_leaves_out_what_it_has_no_use_for() -> None:
    chosen = training("kp2d")
    assert isinstance(chosen, Kp2dTraining)
    taught = learner(replace(chosen, model=Kp2dModelOptions("v0")))
    taught.step(0, STACK, SHARES)
    lacking = {key for key, value in taught.network.named_parameters() if value.grad is None}
    assert lacking == {key for key in _names(taught) if ".convFb." in key}
    taught = learner(chosen)
    taught.step(0, STACK, SHARES)
    assert all(value.grad is not None for value in taught.network.parameters())


def _names(taught: Learner) -> list[str]:
    return [key for key, _ in taught.network.named_parameters()]


def test_weight_decay_pulls_weights_to_zero() -> None:
    kept, pulled = (
        learner(training("msnet", weight_decay=decay, learning_rate=1e-2)) for decay in (0.0, 100.0)
    )
    for taught in (kept, pulled):
        for _ in range(3):
            taught.step(0, STACK, SHARES)
    assert _length(pulled) < 0.98 * _length(kept)


def _length(taught: Learner) -> float:
    weights: list[Tensor] = [one.detach().flatten() for one in taught.network.parameters()]
    return float(torch.cat(weights).norm())


def job(folder: Path, name: str, run: str, **schedule: object) -> TrainingJob:
    photos = folder / "photos"
    if not photos.exists():
        write_photos(photos, 4)
    return TrainingJob((Source(photos),), folder / run, training(name, **schedule), device="cpu")


@pytest.mark.parametrize("name", SLOW_FIRST)
def test_a_stopped_training_goes_on_as_if_undisturbed(tmp_path: Path, name: str) -> None:
    whole = job(tmp_path, name, "whole")
    train_network(whole)
    parts = job(tmp_path, name, "parts", minutes=1e-9)
    runs = 1
    while train_network(parts).iterations[0] < 4:
        runs += 1
    assert runs == 2
    for file in ("0000002.safetensors", "0000004.safetensors"):
        one, other = (each.folder / "best" / file for each in (whole, parts))
        assert one.read_bytes() == other.read_bytes()


TOGETHER = """
import hashlib, sys
from dataclasses import replace
from pathlib import Path
from silk_sfm.training.kp2d_losses import Kp2dLossOptions
from test_family_training import SHARES, STACK, training
from silk_sfm.training.learner import Learner
from silk_sfm.training.processes import joined

with joined("cpu") as process:
    chosen = replace(training("kp2d"), loss=Kp2dLossOptions(reach=1e6))  # all matches are right
    network = chosen.first_network()
    before = {name: value.clone() for name, value in network.inliers.named_parameters()}
    taught = Learner(network, chosen.method(network), chosen, process)
    for iteration in range(3):
        taught.step(iteration, STACK, SHARES)
    assert any(not value.equal(before[name]) for name, value in network.inliers.named_parameters())
    content = b"".join(value.detach().numpy().tobytes() for value in network.parameters())
    digest = hashlib.sha256(content).hexdigest()
    (Path(sys.argv[1]) / f"{process.rank}.txt").write_text(digest)
"""


@pytest.mark.slow
def test_two_processes_teach_one_inlier_net(tmp_path: Path) -> None:
    """IO-Net works outside of the network that DistributedDataParallel wraps."""
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    tests = Path(__file__).parent
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    anywhere = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    paths = os.pathsep.join([str(tests), str(tests.parent)])
    done = subprocess.run(
        [*torchrun, *anywhere, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    one, other = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert one == other


FLAGS = {
    "kp2d": ["--loss.inlier-cells", "50"],
    "r2d2": ["--loss.border", "8", "--loss.query-spacing", "4"],
    "msnet": ["--loss.points", "200"],
}
SCORES = {"kp2d": "matching", "r2d2": "matching", "msnet": "pck"}


@pytest.mark.parametrize("name", FAMILY)
def test_from_photos_to_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    write_photos(photos, 4)
    words = [
        "train", str(photos), str(run), "--config", f"train_{name}", *FLAGS[name],
        "--schedule.iterations", "2", "--schedule.pairs", "1", "--schedule.validation-pairs", "1",
        "--schedule.cells", str(CELLS[name]), "--device", "cpu", "--licence", "CC0-1.0",
    ]  # fmt: skip
    assert main(words) == 0
    weights = run / "weights.safetensors"
    told = capsys.readouterr().out
    assert told.startswith(f"train: 2 of 2 iterations on 3 photos, validation {SCORES[name]} ")
    assert told.endswith(f" -> {weights}\n")
    metadata = read_metadata(weights)
    assert metadata["licence"] == "CC0-1.0" and metadata["architecture"].startswith(name)
    assert f"validation {SCORES[name]} 0." in metadata["training"]
    assert json.loads((run / "train.json").read_text())["method"] == name
    assert main(["show", str(weights)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{weights}: weights of {name}, ") and "  licence: CC0-1.0" in shown
    pictures = sorted(path.parent.name for path in run.rglob("0000002.png"))
    assert pictures == ["descriptors", "keypoints", "matches"]

    features = tmp_path / "features.h5"
    extract = ["extract", str(photos), str(features), "--extractor", name, "--device", "cpu"]
    if name == "r2d2":
        extract += ["--repeatability", "0", "--reliability", "0"]  # it has hardly learned anything
    assert main([*extract, "--weights", str(weights)]) == 0
    with FeatureStore(features) as store:
        assert [len(store[key].keypoints) > 0 for key in store.names] == [True] * 4

    again = tmp_path / "again"
    words[2] = str(again)
    assert main([*words, "--model.start", str(weights)]) == 0
    assert (
        "started from weights.safetensors"
        in read_metadata(again / "weights.safetensors")["training"]
    )


@pytest.mark.parametrize("name", FAMILY)
def test_a_folder_belongs_to_one_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    other = FAMILY[FAMILY.index(name) - 1]
    train_network(job(tmp_path, name, "run", iterations=1))
    words = ["train", str(tmp_path / "photos"), str(tmp_path / "run")]
    assert main([*words, "--config", f"train_{other}", "--device", "cpu"]) == 1
    assert f"method {name} -> {other}" in capsys.readouterr().err


def test_methods_have_their_own_flags(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for name in METHODS:
        with pytest.raises(SystemExit):
            main(["train", "--config", f"train_{name}", "--help"])
        shown[name] = capsys.readouterr().out
    for name, flag in (
        ("silk", "--loss.temperature"),
        ("kp2d", "--loss.inlier-cells"),
        ("r2d2", "--loss.query-spacing"),
        ("msnet", "--loss.interval"),
    ):
        assert {other for other in shown if flag in shown[other]} == {name}

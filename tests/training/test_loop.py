import dataclasses
import json
import math
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import small_job

from silk_sfm.errors import ConfigError, ImageError, StoreError, TrainingError
from silk_sfm.nn.weights import load_silk, read_metadata
from silk_sfm.stages.train import TrainingJob, train_network
from silk_sfm.store.lock import WriterLock
from silk_sfm.training.albums import Source
from silk_sfm.training.learner import Learner


def figures(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def state(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(folder / "last.pt", weights_only=True)["network"]
    return loaded


def test_a_training_from_photos_to_weights(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    report = train_network(job)
    assert str(report).startswith("train: 12 of 12 iterations on 5 photos, validation f1 0.")
    assert report.n_validation == 1 and report.skipped == ()
    best = sorted(path.name for path in (job.folder / "best").iterdir())
    assert best == ["0000004.safetensors", "0000008.safetensors", "0000012.safetensors"]
    assert report.best is not None
    weights = job.folder / "weights.safetensors"
    assert weights.read_bytes() == (job.folder / "best" / report.best.file_name).read_bytes()
    assert load_silk(weights).architecture.descriptor_size == 32
    assert read_metadata(weights)["training"].startswith(
        f"silk-sfm train: {report.best.iteration} iterations of 1 pairs with 16 x 16 cells"
    )
    logged = figures(job.folder)
    assert [line["step"] for line in logged if "train/loss" in line] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in logged if "validation/f1" in line] == [0, 4, 8, 12]
    settings = json.loads((job.folder / "train.json").read_text())
    assert settings["schedule"]["cells"] == 16 and settings["sources"][0]["weight"] == 1


def test_a_stopped_training_goes_on_as_if_undisturbed(tmp_path: Path) -> None:
    whole = small_job(tmp_path, "whole")
    train_network(whole)
    parts = small_job(tmp_path, "parts", minutes=1e-9)  # stops each time figures are logged
    runs = 0
    while train_network(parts).iterations[0] < 12:
        runs += 1
    assert runs == 5
    assert figures(parts.folder) == figures(whole.folder)
    ours, theirs = state(parts.folder), state(whole.folder)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for name in ("0000004", "0000012"):
        one, other = (job.folder / "best" / f"{name}.safetensors" for job in (parts, whole))
        assert one.read_bytes() == other.read_bytes()


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    first = train_network(job)
    before = (job.folder / "last.pt").read_bytes()
    assert train_network(job) == first
    assert (job.folder / "last.pt").read_bytes() == before


def test_only_the_best_checkpoints_stay(tmp_path: Path) -> None:
    job = small_job(tmp_path, keep=1)
    report = train_network(job)
    assert report.best is not None
    assert [path.name for path in (job.folder / "best").iterdir()] == [report.best.file_name]
    scores = {
        line["step"]: line["validation/f1"]
        for line in figures(job.folder)
        if "validation/f1" in line
    }
    assert report.best.score == max(score for step, score in scores.items() if step > 0)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    train_network(small_job(tmp_path))
    with pytest.raises(TrainingError) as caught:
        train_network(small_job(tmp_path, learning_rate=0.5))
    assert str(caught.value) == (
        f"{tmp_path / 'run' / 'last.pt'} was made with other settings (schedule.learning_rate "
        "0.001 -> 0.5). Give these again, another folder, or --overwrite."
    )
    report = train_network(small_job(tmp_path, learning_rate=0.002), overwrite=True)
    assert report.iterations == (12, 12)


def test_refused_settings_are_not_written_down(tmp_path: Path) -> None:
    train_network(small_job(tmp_path))
    before = (tmp_path / "run" / "train.json").read_bytes()
    with pytest.raises(TrainingError, match="was made with other settings"):
        train_network(small_job(tmp_path, learning_rate=0.5))
    assert (tmp_path / "run" / "train.json").read_bytes() == before


def test_a_run_that_was_killed_before_its_first_save_logs_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Learner, "step", _interrupted)
        train_network(job)
    assert [line["step"] for line in figures(job.folder)] == [0]
    train_network(job)
    assert [line["step"] for line in figures(job.folder)].count(0) == 1


def _interrupted(*given: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_among_the_photos_is_no_source(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    inside = dataclasses.replace(job, folder=tmp_path / "photos" / "run")
    first = train_network(inside)
    assert list(inside.folder.rglob("*.png"))
    assert train_network(inside) == first


def test_macs_train_on_the_cpu_and_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("silk_sfm.stages.train.resolve_device", lambda name: "mps")
    job = small_job(tmp_path, iterations=2)
    assert train_network(dataclasses.replace(job, device="auto")).iterations == (2, 2)
    with pytest.raises(ConfigError) as caught:
        train_network(dataclasses.replace(job, device="mps"))
    assert str(caught.value) == (
        "Training computes in float64, which `mps` cannot. Use --device cpu."
    )


def test_overwriting_removes_nothing_else(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    train_network(job)
    (job.folder / "notes.txt").write_text("mine")
    nowhere = dataclasses.replace(job, sources=(Source(tmp_path / "nowhere"),))
    with pytest.raises(ImageError, match="No folder"):
        train_network(nowhere, overwrite=True)
    assert (job.folder / "last.pt").exists() and (job.folder / "weights.safetensors").exists()
    train_network(small_job(tmp_path, seed=1), overwrite=True)
    assert (job.folder / "notes.txt").read_text() == "mine"
    assert len(figures(job.folder)) == 10


def spoilt_at(iteration: int, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set all parameters to a value after the step of an iteration, counted from 0."""
    step = Learner.step

    def spoiling(learner: Learner, at: int, *given: Any) -> dict[str, torch.Tensor]:
        figures = step(learner, at, *given)
        if at == iteration:
            with torch.no_grad():
                for parameter in learner.network.parameters():
                    parameter.fill_(value)
        return figures

    monkeypatch.setattr(Learner, "step", spoiling)


def test_a_training_that_goes_wrong_names_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt_at(5, math.nan, monkeypatch)
    job = small_job(tmp_path, log_every=4)
    with pytest.raises(TrainingError) as caught:
        train_network(job)
    best = job.folder / "best" / "0000004.safetensors"
    assert str(caught.value) == (
        "Training went wrong before iteration 8: the mean loss is nan, the worst descriptors would "
        f"have {2 * (2 * 1.41**2 / 0.1 + math.log(256)):.3g}. The last good checkpoint is {best}. "
        "Lower the learning rate and start from it in another folder."
    )
    assert [path.name for path in best.parent.iterdir()] == [best.name]
    assert (job.folder / "weights.safetensors").read_bytes() == best.read_bytes()


def test_weights_that_are_no_numbers_are_never_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt_at(3, math.nan, monkeypatch)  # its own loss was fine; validation comes next
    job = small_job(tmp_path)
    with pytest.raises(TrainingError) as caught:
        train_network(job)
    assert str(caught.value) == (
        "Training went wrong before iteration 4: the loss of the validation is no number. There is "
        "no checkpoint yet. Lower the learning rate and start anew."
    )
    assert not (job.folder / "best").exists()
    assert not (job.folder / "weights.safetensors").exists()


@pytest.mark.parametrize("killed_in", ["torch.save", "shutil.copyfile", "pathlib.Path.unlink"])
def test_no_named_weights_are_missing_wherever_a_run_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    """Killed where the state is written, where weights are copied, where old ones are removed."""
    whole = small_job(tmp_path, "whole", keep=1, epoch=2, save_seconds=1e9)
    train_network(whole)
    killed = small_job(tmp_path, "killed", keep=1, epoch=2, save_seconds=1e9)
    for after in range(4):
        calls = iter(range(100))
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(killed_in, _dying(_named(killed_in), calls, after))
            train_network(killed)
        if (killed.folder / "last.pt").exists():
            named = torch.load(killed.folder / "last.pt")["progress"]["best"]
            assert all((killed.folder / "best" / _file(one)).exists() for one in named)
    train_network(killed)
    ours, theirs = (
        {path.name: path.read_bytes() for path in job.folder.rglob("*.safetensors")}
        for job in (killed, whole)
    )
    assert ours == theirs and len(ours) == 2
    assert figures(killed.folder) == figures(whole.folder)


def _named(path: str) -> Callable[..., Any]:
    found: Callable[..., Any] = pkgutil.resolve_name(path)
    return found


def _file(ranked: dict[str, int]) -> str:
    return f"{ranked['iteration']:07d}.safetensors"


def _dying(work: Callable[..., Any], calls: Iterator[int], after: int) -> Callable[..., Any]:
    def dying(*given: Any, **named: Any) -> Any:
        if next(calls) == after:
            raise KeyboardInterrupt
        return work(*given, **named)

    return dying


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    job.folder.mkdir()
    (job.folder / "last.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match=r"last\.pt cannot be read .* Remove it to start anew"):
        train_network(job)
    torch.save({"format": "other"}, job.folder / "last.pt")
    with pytest.raises(TrainingError, match="is no state of a training. Choose another folder"):
        train_network(job)


def test_one_training_a_folder(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    job.folder.mkdir()
    lock = WriterLock(job.folder, job.folder)
    lock.acquire()
    try:
        with pytest.raises(StoreError, match=r"run is being written by process \d+"):
            train_network(job)
    finally:
        lock.release()


def test_broken_photos_are_counted(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    report = train_network(job)
    assert [Path(item.name).name for item in report.skipped] == ["broken.jpg"]
    assert str(report).endswith(", 1 skipped")


def test_training_goes_on_from_other_weights(tmp_path: Path) -> None:
    first = small_job(tmp_path)
    train_network(first)
    weights = first.folder / "weights.safetensors"
    tuned = _starting_from(small_job(tmp_path, "tuned", learning_rate=1e-12, warmup=0), weights)
    train_network(tuned)
    before, after = load_silk(weights), load_silk(tuned.folder / "weights.safetensors")
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def _starting_from(job: TrainingJob, weights: Path) -> TrainingJob:
    model = dataclasses.replace(job.training.model, start=str(weights))
    return dataclasses.replace(job, training=dataclasses.replace(job.training, model=model))


def test_descriptors_of_another_size(tmp_path: Path) -> None:
    job = small_job(tmp_path, iterations=2)
    model = dataclasses.replace(job.training.model, descriptor_size=24)
    job = dataclasses.replace(job, training=dataclasses.replace(job.training, model=model))
    train_network(job)
    network = load_silk(job.folder / "weights.safetensors")
    assert network.architecture.descriptor_size == 24


def test_pictures_of_each_validation(tmp_path: Path) -> None:
    job = small_job(tmp_path, iterations=8)
    train_network(job)
    found = sorted(path.relative_to(job.folder).as_posix() for path in job.folder.rglob("*.png"))
    names = ("descriptors", "keypoints", "matches")
    steps = ("0000000", "0000004", "0000008")
    assert found == [f"pictures/{name}/{step}.png" for name in names for step in steps]

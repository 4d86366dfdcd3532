import json
from pathlib import Path

import pytest
import torch
from small_training import small_job

from silk_sfm.errors import StoreError, TrainingError
from silk_sfm.nn.weights import load_silk, read_metadata
from silk_sfm.stages.train import TrainingJob, train_network
from silk_sfm.store.lock import WriterLock


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


def test_overwriting_removes_nothing_else(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    train_network(job)
    (job.folder / "notes.txt").write_text("mine")
    train_network(small_job(tmp_path, seed=1), overwrite=True)
    assert (job.folder / "notes.txt").read_text() == "mine"
    assert len(figures(job.folder)) == 10


def test_a_training_that_goes_wrong_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    good = small_job(tmp_path, iterations=4)
    train_network(good)
    job = small_job(tmp_path, "wrong", learning_rate=1e30, warmup=0, decay="none", epoch=1)
    with pytest.raises(TrainingError) as caught:
        train_network(job)
    message = str(caught.value)
    assert message.startswith("Training went wrong before iteration 2: the mean loss is ")
    assert message.endswith("Lower the learning rate and start from it in another folder.")
    assert str(job.folder / "best" / "000000") in message


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
    import dataclasses

    model = dataclasses.replace(job.training.model, start=str(weights))
    return dataclasses.replace(job, training=dataclasses.replace(job.training, model=model))


def test_descriptors_of_another_size(tmp_path: Path) -> None:
    import dataclasses

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

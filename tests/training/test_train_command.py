import json
from pathlib import Path

import pytest
from photo_files import write_photos

from silk_sfm.cli.main import main
from silk_sfm.configs import recipe_names, training_names
from silk_sfm.errors import ConfigError
from silk_sfm.nn.weights import read_metadata
from silk_sfm.training.methods import METHODS, read_training
from silk_sfm.training.photometric import CameraOptions
from silk_sfm.training.silk import SilkTraining

SMALL = [
    "--model.backbone", "pvgg-micro", "--schedule.iterations", "4", "--schedule.cells", "16",
    "--schedule.validation-pairs", "2", "--schedule.log-every", "2", "--device", "cpu",
]  # fmt: skip


def test_the_shipped_recipes() -> None:
    assert training_names() == [
        "train_kp2d", "train_msnet", "train_r2d2", "train_silk", "train_silk_paper"
    ]  # fmt: skip
    for method in METHODS:
        assert isinstance(read_training(f"train_{method}"), METHODS[method])
    assert not set(training_names()) & set(recipe_names())
    assert read_training("train_silk_paper") == SilkTraining()
    ours = read_training()
    assert ours.warps.both and ours.warps.curriculum > 0
    assert ours.schedule.photometric == "camera"


def test_recipes_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_training("silk")
    assert str(caught.value) == (
        "No recipe silk. Give a TOML file or one of: train_kp2d, train_msnet, train_r2d2, "
        "train_silk, train_silk_paper."
    )
    path = tmp_path / "mine.toml"
    path.write_text("[schedule]\niteration = 5\n")
    with pytest.raises(ConfigError, match="unknown key `iteration`. Did you mean `iterations`?"):
        read_training(str(path))
    path.write_text('method = "kp3d"\n')
    with pytest.raises(ConfigError, match="unknown method 'kp3d'. Known: silk, kp2d, r2d2, msnet."):
        read_training(str(path))
    path.write_text('method = "kp2d"\n[loss]\ntemperature = 1.0\n')
    with pytest.raises(ConfigError, match=r": loss: unknown key `temperature`."):
        read_training(str(path))
    path.write_text('[loss]\ntemperature = "hot"\n')
    with pytest.raises(ConfigError, match="temperature: expected float, got 'hot'"):
        read_training(str(path))


def test_the_light_of_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[camera]\nblur_sigmas = [0.3, 0.9]\n")
    assert read_training(str(path)).camera == CameraOptions(blur_sigmas=(0.3, 0.9))
    path.write_text("[camera]\nblur_sigmas = [0.3]\n")
    with pytest.raises(ConfigError, match=r"camera: blur_sigmas: Not enough values in \[0\.3\]"):
        read_training(str(path))


def test_train_prints_one_line_and_writes_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "photos", 4)
    write_photos(tmp_path / "more", 3, first_seed=50)
    write_photos(tmp_path / "held", 2, first_seed=90)
    (tmp_path / "photos" / "broken.png").write_bytes(b"")
    words = [
        "train", str(tmp_path / "photos"), str(tmp_path / "run"), *SMALL,
        "--also", f"{tmp_path / 'more'}=2", "--validation", str(tmp_path / "held"),
        "--licence", "CC0-1.0",
    ]  # fmt: skip
    assert main(words) == 3
    told = capsys.readouterr()
    assert told.out.startswith(
        "train: 4 of 4 iterations on 7 photos, validation f1 0."
    ) and told.out.endswith(
        f" (2 photos), 1 skipped -> {tmp_path / 'run' / 'weights.safetensors'}\n"
    )
    assert told.err.startswith("skipped broken.png: ") and "is no image" in told.err
    assert read_metadata(tmp_path / "run" / "weights.safetensors")["licence"] == "CC0-1.0"
    settings = json.loads((tmp_path / "run" / "train.json").read_text())
    assert [source["weight"] for source in settings["sources"]] == [1, 2]
    features = tmp_path / "f.h5"
    weights = ["--weights", str(tmp_path / "run" / "weights.safetensors")]
    assert (
        main(["extract", str(tmp_path / "held"), str(features), *weights, "--device", "cpu"]) == 0
    )


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path / "none"), str(tmp_path / "run"), *SMALL]) == 1
    assert capsys.readouterr().err == (
        f"silk-sfm train: error: No folder {tmp_path / 'none'}. Give the folder that holds the "
        "photos.\n"
    )
    assert main(["train", "a", "b", "--config", "nothing.toml"]) == 1
    assert "No recipe nothing.toml" in capsys.readouterr().err
    write_photos(tmp_path / "photos", 3)
    start = ["--model.start", str(tmp_path / "none.ckpt")]
    assert main(["train", str(tmp_path / "photos"), str(tmp_path / "run"), *SMALL, *start]) == 1
    assert "No weights" in capsys.readouterr().err

"""Evaluation from end to end: export once, score, refuse what does not fit."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import cv2
import numpy as np
import pytest
from homography_sets import write_hpatches
from in_process import silk_sfm

from silk_sfm.cli import main
from silk_sfm.cli.evaluate import Name, named_protocol
from silk_sfm.errors import ConfigError, DatasetError, StoreError
from silk_sfm.evaluation.hpatches import HPatches, HPatchesOptions
from silk_sfm.evaluation.protocol import PROTOCOLS, Row
from silk_sfm.features import LocalFeatures
from silk_sfm.plugins import About
from silk_sfm.stages.choice import Chosen, choose
from silk_sfm.stages.evaluate import Evaluation, EvaluationOptions, median_rows, read_methods
from silk_sfm.stages.evaluate_export import Method
from silk_sfm.stages.extract import ExtractionOptions
from silk_sfm.stages.recipe import Recipe
from silk_sfm.store import FeatureStore

HERE = "test_evaluate_stage"


@dataclass(frozen=True)
class PatchOptions:
    """top_k: keypoints kept, by the strength of the corner."""

    top_k: int = 400


class Patches:
    """Corners with a blurred patch as descriptor; counts the images that it saw."""

    about: ClassVar[About] = About(summary="corners for a test", licence="none")
    channels: ClassVar[str] = "grey"
    Options = PatchOptions
    descriptor_size = 121
    weights_digest = ""
    seen: ClassVar[list[tuple[int, ...]]] = []

    def __init__(self, options: PatchOptions, device: str) -> None:
        self.options = options

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        self.seen.append(image.shape)
        found = cv2.goodFeaturesToTrack(image, self.options.top_k, 0.01, 4)
        points = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
        scores = np.linspace(1, 0, len(points), dtype=np.float32)
        size = image.shape[1], image.shape[0]
        return LocalFeatures(points, scores, self.describe(image, points), size)

    def describe(self, image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(image, (0, 0), 1)
        rows = [cv2.getRectSubPix(blurred, (11, 11), tuple(map(float, xy))) for xy in keypoints]
        patches = np.array(rows, np.float32).reshape(-1, 121)
        patches = patches - patches.mean(axis=1, keepdims=True)
        length = np.linalg.norm(patches, axis=1, keepdims=True)
        return np.asarray(patches / np.maximum(length, 1e-6), np.float32)


class CannotDescribe:
    """An extractor without `describe`."""

    about: ClassVar[About] = Patches.about
    channels: ClassVar[str] = "grey"
    Options = PatchOptions
    descriptor_size = 121
    weights_digest = ""

    def __init__(self, options: PatchOptions, device: str) -> None:
        pass

    def __call__(self, image: np.ndarray) -> LocalFeatures:
        return LocalFeatures.empty(121, (image.shape[1], image.shape[0]))


def method(name: str = "patches", top_k: int = 400, plugin: str = "Patches") -> Method:
    recipe = replace(
        Recipe.read("silk"),
        extractor=Chosen(f"{HERE}:{plugin}", PatchOptions(top_k)),
        matcher=choose("matchers", "mutual"),
    )
    return Method(name, recipe)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_hpatches(tmp_path / "data")
    return tmp_path / "data"


def evaluation(data: Path, out: Path, *methods: Method, **options: Any) -> Evaluation:
    settings = HPatchesOptions(short_side=160, **options)
    return Evaluation(HPatches(data, out, settings), methods or [method()], out, device="cpu")


# ---------- running ----------


def test_a_second_run_exports_nothing_and_scores_the_same(data: Path, tmp_path: Path) -> None:
    first = evaluation(data, tmp_path / "out")
    rows = first.run()
    assert [(report.stage, report.done) for _, report in first.reports] == [
        ("extract", 12),
        ("match", 10),
    ]
    Patches.seen.clear()
    second = evaluation(data, tmp_path / "out")
    assert second.run() == rows
    assert [(report.done, report.reused) for _, report in second.reports] == [(0, 12), (0, 10)]
    assert Patches.seen == []


def test_the_numbers_are_those_of_a_method_that_works(data: Path, tmp_path: Path) -> None:
    rows = evaluation(data, tmp_path / "out").run()
    by_subset = {row.subset: row for row in rows}
    assert list(by_subset) == ["overall", "illumination", "viewpoint"]
    assert by_subset["illumination"].metrics["MMA@3"] > 0.9
    assert by_subset["illumination"].metrics["HomAcc@3"] == 1
    assert by_subset["viewpoint"].metrics["HomAcc@3"] >= 0.8
    assert all(row.repeats == 3 for row in rows)
    assert 100 < rows[0].keypoints <= 400


def test_the_best_keypoints_are_matched_without_another_extraction(
    data: Path, tmp_path: Path
) -> None:
    evaluation(data, tmp_path / "out").run()
    Patches.seen.clear()
    fewer = evaluation(data, tmp_path / "out")
    fewer.options = EvaluationOptions(n_keypoints=50)
    rows = fewer.run()
    assert Patches.seen == []
    assert rows[0].keypoints == 50
    folder = tmp_path / "out" / "patches" / "160"
    with (
        FeatureStore(folder / "features.h5") as every,
        FeatureStore(folder / "best_50" / "features.h5") as best,
    ):
        name = every.names[0]
        assert every[name].scores[:50].tolist() == best[name].scores.tolist()
    again = evaluation(data, tmp_path / "out")
    assert again.run()[0].keypoints > 100  # both can be asked for


def test_other_settings_are_refused(data: Path, tmp_path: Path) -> None:
    evaluation(data, tmp_path / "out").run()
    with pytest.raises(StoreError, match="top_k: made with 400, now 100"):
        evaluation(data, tmp_path / "out", method(top_k=100)).run()
    anew = evaluation(data, tmp_path / "out", method(top_k=100))
    anew.overwrite = True
    assert anew.run()[0].keypoints == 100


def test_an_image_that_a_method_cannot_use_is_an_error(data: Path, tmp_path: Path) -> None:
    (data / "v_one" / "3.png").write_bytes((data / "v_one" / "3.png").read_bytes()[:900])
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="r2d2"))
    with pytest.raises(DatasetError, match=r"^patches cannot use 1 images of .*v_one/3\.png: "):
        Evaluation(protocol, [method()], tmp_path / "out", device="cpu").run()


def test_given_points_are_described(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="pck"))
    job = Evaluation(protocol, [method()], tmp_path / "out", device="cpu")
    rows = job.run()
    assert [row.repeats for row in rows] == [1, 1, 1]
    assert rows[1].subset == "illumination"
    assert rows[1].metrics["PCK@3"] > 0.9
    assert 0.5 < rows[0].metrics["PCK@3"] <= rows[0].metrics["PCK@5"]
    again = Evaluation(protocol, [method()], tmp_path / "out", device="cpu")
    assert again.run() == rows
    assert [(report.done, report.reused) for _, report in again.reports] == [(0, 12)]


def test_a_method_that_cannot_describe(data: Path, tmp_path: Path) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="pck"))
    blind = method("blind", plugin="CannotDescribe")
    Patches.seen.clear()
    with pytest.raises(ConfigError, match="of blind cannot describe given points"):
        Evaluation(protocol, [method(), blind], tmp_path / "out", device="cpu").run()
    assert not (tmp_path / "out" / "patches").exists()  # it is said before any work


@pytest.mark.parametrize("extraction", [{"turns": True}, {"scales": (1.0, 0.5)}])
def test_points_are_described_upright_and_at_scale_1(
    data: Path, tmp_path: Path, extraction: dict[str, Any]
) -> None:
    protocol = HPatches(data, tmp_path / "out", HPatchesOptions(style="pck"))
    recipe = replace(method().recipe, extraction=ExtractionOptions(**extraction))
    wide = replace(method("wide"), recipe=recipe)
    with pytest.raises(ConfigError, match="upright and at scale 1; wide says otherwise"):
        Evaluation(protocol, [wide], tmp_path / "out", device="cpu").run()


# ---------- methods, seeds ----------


def test_methods_have_different_names(tmp_path: Path) -> None:
    (tmp_path / "silk.toml").write_text("")
    assert [each.name for each in read_methods(["silk", " sift", ""])] == ["silk", "sift"]
    assert read_methods([str(tmp_path / "silk.toml")])[0].name == "silk"
    for names in ([""], ["silk", str(tmp_path / "silk.toml")]):
        with pytest.raises(ConfigError, match="^Give methods of different names"):
            read_methods(names)
    with pytest.raises(ConfigError, match="^No recipe sifd"):
        read_methods(["sifd"])


def test_rows_are_medians_over_seeds() -> None:
    def seed(value: float, other: float) -> list[Row]:
        base = Row("m", "j", "overall", "e", "1 px", "s", 10.0, {"a": value, "b": float("nan")})
        return [base, replace(base, subset="x", metrics={"a": other})]

    rows = median_rows([seed(1, 0), seed(5, 0), seed(2, 9)])
    assert [(row.subset, row.metrics["a"], row.repeats) for row in rows] == [
        ("overall", 2.0, 3),
        ("x", 0.0, 3),
    ]
    assert np.isnan(rows[0].metrics["b"])


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="repeats and n_keypoints must be at least 1"):
        EvaluationOptions(repeats=0)


# ---------- the command ----------


def test_command(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["evaluate", "hpatches", data, "--methods", "sift", "--out", out, "--short-side", 160]
    done = silk_sfm(*words, "--device", "cpu")
    assert done.status == 0, done.err
    assert "sift, 160: extract: 12 images" in done.out
    assert "HPatches, SiLK's metrics, shorter side 160 px\nmethod  subset" in done.out
    assert "published, not measured here" in done.out
    assert {path.name for path in out.iterdir()} >= {
        "results.csv",
        "results.json",
        "results.md",
        "mma.png",
        "homacc.png",
        "sift",
        "images_160",
    }
    measured = json.loads((out / "results.json").read_text())["measured"]
    assert {row["method"] for row in measured} == {"sift"}
    assert silk_sfm("show", out / "sift" / "160" / "matches.h5").status == 0


def test_predictions_on_other_data_are_refused(data: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    write_hpatches(other)  # the names of the images are the same
    words = ["--methods", "sift", "--out", out, "--style", "kp2d", "--no-plots"]
    assert silk_sfm("evaluate", "hpatches", tmp_path, *words).status == 1  # no sequence there
    assert silk_sfm("evaluate", "hpatches", data, *words).status == 0
    refused = silk_sfm("evaluate", "hpatches", other, *words)
    assert refused.status == 1
    assert f"error: {out} holds predictions on {data}, not on {other}. Give" in refused.err
    (out / "data.txt").unlink()
    assert silk_sfm("evaluate", "hpatches", data, *words).status == 0


def test_command_on_a_faulty_data_set(data: Path, tmp_path: Path) -> None:
    path = data / "v_one" / "H_1_5"
    path.write_text("1 0 0\n0 nan 0\n0 0 1\n")
    done = silk_sfm("evaluate", "hpatches", data, "--methods", "sift", "--out", tmp_path / "out")
    fault = f"silk-sfm evaluate: error: {path}, line 2: `nan` is not finite.\n"
    assert (done.status, done.err) == (1, fault)


@pytest.mark.parametrize(
    ("protocol", "option"), [("hpatches", "--style"), ("homography", "--threshold-px")]
)
def test_help_of_a_protocol_has_its_options(
    protocol: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", protocol, "--help"])
    assert stopped.value.code == 0
    assert option in capsys.readouterr().out


def test_the_command_offers_every_protocol() -> None:
    assert get_args(Name) == tuple(PROTOCOLS)


def test_the_value_of_an_option_may_be_called_like_a_protocol() -> None:
    assert named_protocol(["--out", "sfm", "pose", "data"]) == "pose"
    assert named_protocol(["--quiet", "sfm", "pose", "--out", "x"]) == "sfm"
    assert named_protocol(["--help"]) is None


def test_a_protocol_may_allow_fewer_keypoints_than_asked_for(data: Path, tmp_path: Path) -> None:
    job = evaluation(data, tmp_path / "out")
    (own,) = job.protocol.jobs()
    budgets = {(None, None): None, (None, 50): 50, (80, None): 80, (80, 50): 50, (80, 100): 80}
    for (of_job, asked), expected in budgets.items():
        job.options = EvaluationOptions(n_keypoints=asked)
        assert job._with_budget(replace(own, n_keypoints=of_job)).n_keypoints == expected


def test_unknown_protocol_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as stopped:
        silk_sfm("evaluate", "hpatch", "data", "--out", "out")
    assert stopped.value.code == 2

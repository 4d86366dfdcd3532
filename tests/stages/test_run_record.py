"""run.json: what it holds, what later runs keep of it, what damages it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from silk_sfm.errors import ConfigError, ReconstructionError
from silk_sfm.stages.recipe import Recipe
from silk_sfm.stages.report import Costs, Skipped, StageReport
from silk_sfm.stages.run_record import FILE_NAME, RunLog, RunRecord, read_run


def new_log(out: Path, photos: str = "photos") -> RunLog:
    record = RunRecord.start(out, out / photos, Recipe(), "cpu", "silk-sfm reconstruct a b")
    return RunLog(out, record)


def costs(seconds: float) -> Costs:
    cost = {"seconds": seconds, "peak_memory_mb": 10 * seconds}
    return Costs({"extract": cost, "match": cost, "map": cost})


def extracted(done: int, reused: int = 0, *skipped: Skipped) -> StageReport:
    return StageReport("extract", "images", done, reused, 100 * done, "keypoints", skipped)


MATCHED = StageReport("match", "pairs", 3, 0, 50, "matches")


def test_the_record_is_there_after_every_stage(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    assert read_run(tmp_path) is None
    log.ended(extracted(2, 0, Skipped("c.jpg", "empty")), costs(4.0))
    record = read_run(tmp_path)
    assert record is not None
    assert list(record.stages) == ["extract"]
    stage = record.stages["extract"]
    assert (stage.done, stage.found, stage.seconds, stage.peak_memory_mb) == (2, 200, 4.0, 40.0)
    assert stage.skipped == {"c.jpg": "empty"}
    assert not stage.kept
    log.ended(MATCHED, costs(5.0))
    assert read_run(tmp_path) == log.record
    assert list(log.record.stages) == ["extract", "match"]


def test_a_record_tells_how_and_where_it_was_made(tmp_path: Path) -> None:
    record = RunRecord.start(tmp_path, tmp_path / "photos", Recipe(), "cpu", "typed")
    assert record.photos == "photos"
    assert record.recipe["extractor"]["name"] == "silk"
    assert record.machine["cores"]
    assert record.libraries["pycolmap"].startswith("4.")
    elsewhere = RunRecord.start(tmp_path / "out", tmp_path / "photos", Recipe(), "cpu", "")
    assert elsewhere.photos == str(tmp_path / "photos")


def test_a_stage_that_found_everything_there_keeps_its_costs(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    log.ended(extracted(2), costs(4.0))
    log.ended(MATCHED, costs(5.0))
    again = new_log(tmp_path)
    again.ended(extracted(0, 2, Skipped("c.jpg", "empty")), costs(0.1))
    stage = again.record.stages["extract"]
    assert (stage.seconds, stage.done, stage.found, stage.kept) == (4.0, 2, 200, True)
    assert stage.skipped == {"c.jpg": "empty"}  # what is skipped is looked at in every run
    assert again.record.stages["match"].seconds == 5.0


def test_costs_of_a_stage_that_another_program_made_are_not_known(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    log.ended(extracted(0, 2), costs(0.1))
    stage = log.record.stages["extract"]
    assert (stage.seconds, stage.peak_memory_mb, stage.reused, stage.kept) == (None, None, 2, True)


def test_new_work_makes_the_later_stages_a_thing_of_the_past(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    for report in (extracted(2), MATCHED, StageReport("map", "images", 2, 0, 9, "points")):
        log.ended(report, costs(4.0))
    again = new_log(tmp_path)
    again.ended(extracted(1, 2), costs(1.0))
    assert list(again.record.stages) == ["extract"]
    stage = again.record.stages["extract"]
    assert (stage.done, stage.reused, stage.seconds, stage.kept) == (1, 2, 1.0, False)
    assert read_run(tmp_path) == again.record


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ReconstructionError("Nothing matched."), "match: Nothing matched."),
        (KeyboardInterrupt(), "match: interrupted"),
        (RuntimeError("out of memory"), "match: out of memory"),
        (MemoryError(), "match: MemoryError"),
    ],
)
def test_where_a_run_stopped_is_told_until_the_next_one(
    error: BaseException, told: str, tmp_path: Path
) -> None:
    log = new_log(tmp_path)
    log.ended(extracted(2), costs(4.0))
    with pytest.raises(type(error)), log.running("match"):
        raise error
    record = read_run(tmp_path)
    assert record is not None
    assert record.stopped == told
    again = new_log(tmp_path)
    again.ended(extracted(0, 2), costs(0.1))
    record = read_run(tmp_path)
    assert record is not None
    assert record.stopped == ""
    assert record.stages["extract"].seconds == 4.0


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"^Cannot read .*run\.json: Expecting .*\. Remove it\.$"):
        read_run(tmp_path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match=r"run\.json holds no record of a run\. Remove it\.$"):
        read_run(tmp_path)
    log = new_log(tmp_path / "other")
    (tmp_path / "other").mkdir()
    replace(log.record, stopped="x").write(tmp_path / "other")
    values = json.loads((tmp_path / "other" / FILE_NAME).read_text())
    path.write_text(json.dumps({**values, "stoped": ""}))
    with pytest.raises(
        ConfigError, match=r"run\.json \(remove it to go on\): unknown key `stoped`\. Did you mean"
    ):
        read_run(tmp_path)

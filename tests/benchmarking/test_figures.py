"""Measuring, ratios, tables and the command, with made-up figures of known numbers."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from silk_sfm.benchmarking import groups
from silk_sfm.benchmarking.figures import Figure, Measured, Scope, measure, rate, seconds
from silk_sfm.benchmarking.groups import GROUPS, choose_groups, measure_groups
from silk_sfm.benchmarking.memory import peak_above_inputs_mb
from silk_sfm.benchmarking.table import as_json, as_table, number
from silk_sfm.cli.main import main
from silk_sfm.errors import ConfigError
from silk_sfm.stages.machine import describe_machine, library_versions

SLEPT = 0.02


def made_up(scope: Scope) -> Iterator[Figure]:
    (scope.folder / "file").write_text("something")
    yield Figure("pace", "m/s", lambda: 30.0, lambda: 10.0, "a snail", True, note="on a dry day")
    yield Figure("wait", "s", lambda: 2.0, lambda: 8.0, "a queue")
    yield Figure("alone", "MB", lambda: 1234.5)


def test_both_sides_take_turns(tmp_path: Path) -> None:
    called: list[str] = []
    numbers = iter([5.0, 1.0, 3.0])

    def ours() -> float:
        called.append("ours")
        return next(numbers)

    def baseline() -> float:
        called.append("baseline")
        return 6.0

    measured = measure(Figure("f", "s", ours, baseline), Scope(tmp_path, repeats=3))
    assert called == ["ours", "baseline"] * 3
    assert (measured.ours, measured.baseline) == ([5.0, 1.0, 3.0], [6.0, 6.0, 6.0])
    assert measured.ratio == 2.0  # of medians


@pytest.mark.parametrize(
    ("quick", "most", "expected"), [(False, None, 5), (False, 2, 2), (True, 2, 1)]
)
def test_repeats(tmp_path: Path, quick: bool, most: int | None, expected: int) -> None:
    figure = Figure("f", "s", lambda: 1.0, max_repeats=most)
    assert len(measure(figure, Scope(tmp_path, quick)).ours) == expected


def test_ratio_says_how_many_times_better() -> None:
    faster = Figure("f", "images/s", lambda: 0.0, more_is_better=True)
    smaller = Figure("f", "MB", lambda: 0.0)
    assert Measured(faster, [30.0], [10.0]).ratio == 3.0
    assert Measured(smaller, [30.0], [10.0]).ratio == pytest.approx(1 / 3)
    assert Measured(smaller, [0.0], [10.0]).ratio == float("inf")
    assert Measured(smaller, [1.0]).ratio is None


def test_seconds_and_rates() -> None:
    took = seconds(lambda: time.sleep(SLEPT))()
    assert took >= SLEPT
    assert rate(lambda: time.sleep(SLEPT), 100)() <= 100 / SLEPT


def test_memory_above_the_inputs() -> None:
    inputs, work = partial(blocks_of_memory, 64), partial(double, extra=100)
    peak = peak_above_inputs_mb(inputs, work)()
    assert 95 < peak < 164  # the 100 MB, not the 64 MB of the input


def blocks_of_memory(megabytes: int) -> tuple[np.ndarray]:
    return (np.ones(megabytes * 2**17),)


def double(block: np.ndarray, extra: int) -> float:
    return float(np.ones(extra * 2**17).sum() + block[0])


def test_groups_by_name() -> None:
    assert choose_groups([]) == GROUPS
    assert choose_groups(["stores", "matching"]) == ("matching", "stores")
    with pytest.raises(ConfigError) as caught:
        choose_groups(["store"])
    assert str(caught.value) == (
        f"No figures `store`; there are: {', '.join(GROUPS)}. Did you mean `stores`?"
    )


def test_every_group_makes_figures() -> None:
    for group in GROUPS:
        assert callable(groups.figures_of(group))


def test_each_group_gets_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "figures_of", lambda _: made_up)
    rows = list(measure_groups(["one", "two"], Scope(tmp_path, quick=True)))
    assert [row.figure.name for row in rows] == ["pace", "wait", "alone"] * 2
    assert list(tmp_path.iterdir()) == []


def rows() -> list[Measured]:
    return [
        Measured(Figure("pace", "m/s", float, None, "a snail", True, note="dry"), [30.0], [10.0]),
        Measured(Figure("alone", "MB", float), [1234.5]),
    ]


def test_table() -> None:
    assert as_table({"cpu": "abacus"}, {"python": "3"}, rows()).splitlines() == [
        "cpu: abacus",
        "python 3",
        "",
        "| figure | unit | silk-sfm | baseline | ratio | the baseline |",
        "| - | - | - | - | - | - |",
        "| pace | m/s | 30 | 10 | 3.00x | a snail |",
        "| alone | MB | 1234 |  |  |  |",
        "",
        "- pace: dry.",
    ]


def test_numbers() -> None:
    assert [number(value) for value in (0.012345, 1.2345, 12.345, 123.45, 12345.6)] == [
        "0.0123",
        "1.23",
        "12.3",
        "123",
        "12346",
    ]


def test_json_has_every_repeat() -> None:
    content = json.loads(as_json(["--quick"], {"cpu": "abacus"}, {"python": "3"}, rows()))
    assert content["command"] == ["--quick"]
    assert (content["machine"], content["versions"]) == ({"cpu": "abacus"}, {"python": "3"})
    assert content["figures"][0] == {
        "name": "pace",
        "unit": "m/s",
        "more_is_better": True,
        "ours": [30.0],
        "baseline": [10.0],
        "ratio": 3.0,
        "against": "a snail",
        "note": "dry",
    }


def test_machine_and_versions_are_named() -> None:
    machine, versions = describe_machine(), library_versions()
    assert {"cpu", "cores", "instructions", "gpu"} <= machine.keys()
    assert {"silk-sfm", "python", "torch", "h5py", "pycolmap"} <= versions.keys()
    assert all([*machine.values(), *versions.values()])


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(groups, "figures_of", lambda _: made_up)
    out = tmp_path / "figures.json"
    flags = ["--only", "matching", "--repeats", "2", "--folder", str(tmp_path)]
    assert main(["bench", *flags, "--json", str(out)]) == 0
    printed = capsys.readouterr()
    assert "| pace | m/s | 30 | 10 | 3.00x | a snail |" in printed.out
    assert printed.err.splitlines() == ["measured pace", "measured wait", "measured alone"]
    figures = json.loads(out.read_text())["figures"]
    assert [figure["ours"] for figure in figures] == [[30.0] * 2, [2.0] * 2, [1234.5] * 2]
    assert list(tmp_path.iterdir()) == [out]


def test_command_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "store"]) == 1
    assert "silk-sfm bench: error: No figures `store`" in capsys.readouterr().err
    assert main(["bench", "--repeats", "0"]) == 1
    assert "error: repeats must be 1 or more, got 0." in capsys.readouterr().err
    assert main(["bench", "--only", "pipeline", "--photos", "photos"]) == 1
    assert "error: --photos needs --truth, a COLMAP model" in capsys.readouterr().err
    assert main(["bench", "--truth", "model"]) == 1
    assert "give both or neither." in capsys.readouterr().err
    assert main(["bench", "--only", "pipeline"]) == 1
    assert "error: The figures of `pipeline` need --photos and" in capsys.readouterr().err


def test_help_names_every_group(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    words = capsys.readouterr().out.replace(",", " ").replace(";", " ").split()
    assert set(GROUPS) <= set(words)

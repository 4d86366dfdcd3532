"""Tables of measured and published rows: text, Markdown, CSV, JSON, pictures."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from shared_data import shared

from silk_sfm.errors import ConfigError
from silk_sfm.evaluation import plots
from silk_sfm.evaluation.plots import check_plots, write_plots
from silk_sfm.evaluation.protocol import PROTOCOLS, Row, load_protocol
from silk_sfm.evaluation.published import PUBLISHED, PublishedRow
from silk_sfm.evaluation.tables import Results, measured_cells
from silk_sfm.evaluation.tune_plot import SweepPanel, write_sweep_plot
from silk_sfm.images import decode

CURVE = {f"MMA@{threshold}": threshold / 20 for threshold in range(1, 11)}


def row(method: str, subset: str = "overall", **metrics: float) -> Row:
    return Row(method, "480", subset, "OpenCV RANSAC", "3 px", "short side 480", 1234.4, metrics, 3)


ROWS = [
    row("silk", **{"Rep@1": 0.61849, "Rep@3": float("nan"), "matches": 4283.2, **CURVE}),
    row("silk", "viewpoint", **{"Rep@1": 0.5, "Rep@3": 0.75, "matches": 12.0, **CURVE}),
    row("sift", **{"Rep@1": 0.31, "Rep@3": 0.52, "matches": 910.46, **CURVE}),
]
PUBLISHED_ROWS = [PublishedRow("SIFT", {"Rep@1": 0.31, "matches": 910.0}, "a paper", "its way")]
RESULTS = Results("a title", ROWS, PUBLISHED_ROWS)


def test_text() -> None:
    blocks = RESULTS.text().split("\n\n")
    assert blocks[0].splitlines() == [
        "a title",
        "method  subset     estimator      threshold  image size      keypoints  repeats  Rep@1  "
        "Rep@3  matches  MMA@1  MMA@3  MMA@5  MMA@10",
        "silk    overall    OpenCV RANSAC  3 px       short side 480  1234       3        0.618  "
        "-      4283     0.050  0.150  0.250  0.500",
        "sift    overall    OpenCV RANSAC  3 px       short side 480  1234       3        0.310  "
        "0.520  910.5    0.050  0.150  0.250  0.500",
        "silk    viewpoint  OpenCV RANSAC  3 px       short side 480  1234       3        0.500  "
        "0.750  12       0.050  0.150  0.250  0.500",
    ]
    assert blocks[1].splitlines() == [
        "published, not measured here",
        "method  Rep@1  matches  source   protocol",
        "SIFT    0.310  910      a paper  its way",
    ]


def test_markdown_keeps_published_rows_apart() -> None:
    measured, published = RESULTS.markdown().split("Published, not measured here:")
    assert measured.startswith("**a title**\n\n| method | subset | estimator | threshold |")
    assert "| SIFT |" not in measured
    assert published.splitlines()[2:] == [
        "| method | Rep@1 | matches | source | protocol |",
        "|-|-|-|-|-|",
        "| SIFT | 0.310 | 910 | a paper | its way |",
    ]


def test_csv_has_every_metric_of_measured_rows_alone() -> None:
    lines = list(csv.DictReader(io.StringIO(RESULTS.csv())))
    assert [line["method"] for line in lines] == ["silk", "silk", "sift"]
    assert lines[0]["MMA@7"] == "0.35"
    assert lines[0]["Rep@3"] == "nan"
    assert lines[2]["matches"] == "910.46"
    settings = {"job": "480", "estimator": "OpenCV RANSAC", "threshold": "3 px", "repeats": "3"}
    assert settings.items() <= lines[0].items()


def test_json(tmp_path: Path) -> None:
    paths = RESULTS.write(tmp_path)
    assert [path.name for path in paths] == ["results.csv", "results.json", "results.md"]
    read = json.loads((tmp_path / "results.json").read_text())
    assert read["measured"][0]["metrics"]["Rep@3"] is None
    assert read["measured"][2]["metrics"]["matches"] == 910.46
    assert read["published"][0]["source"] == "a paper"


def test_counts_are_whole_and_shares_are_not() -> None:
    cells = measured_cells([row("silk", **{"registered": 4.0, "MMA@3": 1.0, "matches": 4.5})])
    assert cells[1][-3:] == ["4", "1.000", "4.500"]


def test_rows_of_different_metrics_share_a_table() -> None:
    cells = measured_cells([row("a", one=1.0), row("b", two=2.0)])
    assert [line[-2:] for line in cells] == [["one", "two"], ["1.000", "-"], ["-", "2.000"]]


# ---------- published rows ----------


def test_published_figures_are_those_of_the_papers() -> None:
    """Every figure stands in the table or line that names its method."""
    lines = shared("published.md").read_text().splitlines()
    assert len(PUBLISHED["hpatches-silk"]) == 10
    silk = next(line for line in lines if line.startswith("| SiLK top-10k"))
    figures = [float(word) for word in silk.split("|")[2:-1]]
    (top,) = [each for each in PUBLISHED["hpatches-silk"] if each.method == "SiLK top-10k"]
    assert list(top.metrics.values()) == figures
    numbers = {float(each) for each in re.findall(r"\d*\.\d+|\d+", "\n".join(lines))}
    for key, rows in PUBLISHED.items():
        for each in rows:
            assert set(each.metrics.values()) <= numbers, (key, each.method)
            assert each.source
            assert each.protocol


def test_published_metrics_have_the_names_of_measured_ones() -> None:
    assert set(PUBLISHED["hpatches-kp2d"][0].metrics) == {
        "Repeatability",
        "Localization error",
        "C1",
        "C3",
        "C5",
        "MScore",
    }
    assert PUBLISHED["hpatches-pck"][0].metrics == {"PCK@3": 0.592}
    assert PUBLISHED["hpatches-kp2d"][2].metrics["C1"] == 0.534
    assert PUBLISHED["pose-scannet"][3].metrics == {"AUC@5": 18.0, "AUC@10": 34.4, "AUC@20": 50.4}


# ---------- protocols ----------


def test_unknown_protocol() -> None:
    with pytest.raises(ConfigError, match=r"^No protocol `hpatch`\. Known: hpatches, homography"):
        load_protocol("hpatch")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_keeps_the_contract(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.Options()
    for part in ("seeded", "jobs", "score"):
        assert hasattr(protocol, part), part


# ---------- pictures ----------


def test_plots(tmp_path: Path) -> None:
    written = write_plots("a title", ROWS, tmp_path)
    assert [path.name for path in written] == ["mma.png", "metrics.png"]
    for path in written:
        pixels, _ = decode(path)
        assert pixels.std() > 0.05
    assert decode(written[0])[0].shape[1] > 1.5 * decode(written[0])[0].shape[0]  # two panels


def test_curves_of_several_estimators_are_told_apart() -> None:
    one, other = row("silk", **CURVE), row("silk", **CURVE)
    several = [one, replace(other, estimator="MAGSAC"), row("sift", **CURVE)]
    assert plots._labels(several) == ["silk, OpenCV RANSAC, 3 px", "silk, MAGSAC, 3 px", "sift"]


def test_plots_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    check_plots()
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        check_plots()
    assert str(caught.value) == (
        "Plots need matplotlib: pip install 'silk-sfm[viz]', or leave them out: --no-plots."
    )


def test_sweep_plot(tmp_path: Path) -> None:
    panels = [
        SweepPanel("px", {"1000": {480: 3.0, 240: 1.0}, "5000": {480: 5.0}}),
        SweepPanel("degrees", {"silk": {0: 1.0, 90: 0.0}}),
    ]
    path = write_sweep_plot("a title", "inliers", panels, tmp_path / "sweep.png")
    pixels, _ = decode(path)
    assert pixels.std() > 0.05

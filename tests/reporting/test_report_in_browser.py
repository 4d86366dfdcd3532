"""The page as a reader has it: in Chromium, without network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import NO_GL, SOFTWARE_GL, Browser, browser
from report_scene import report_scene, write_photo, write_whole
from selenium.webdriver.support.ui import WebDriverWait

from silk_sfm.colmap.model import read_model
from silk_sfm.reporting.output import report_on, sources_of

pytestmark = pytest.mark.slow

EVIL = '<img src=x onerror="document.title=1">.jpg'
NAMES = (EVIL, "a b & c's.jpg", "sub/</script><b>d.jpg", "tür 日本.jpg", "left out.jpg")
GROUND = np.array([26, 20, 17])
"""Blue, green, red behind the model."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reconstruction with odd names: four images registered, one left out."""
    out = tmp_path_factory.mktemp("scene") / "odd <b>&amp; folder"
    write_whole(out, NAMES, NAMES[:-1])
    report_on(out, sources_of(out, out / "photos"))
    return out


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile"), *SOFTWARE_GL) as opened:
        yield opened


@pytest.fixture
def page(out: Path, chromium: Browser) -> Browser:
    chromium.open(out / "report.html")
    return chromium


def test_it_loads_without_an_error_or_a_request(page: Browser, out: Path) -> None:
    assert page.errors() == []
    asked = page.run("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    text = (out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert "Content-Security-Policy\" content=\"default-src 'none'" in text


def test_names_are_text_wherever_they_stand(page: Browser) -> None:
    assert page.driver.title == "odd <b>&amp; folder – reconstruction report"
    assert page.texts("h1") == ["odd <b>&amp; folder"]
    assert page.texts(".photo b") == sorted(NAMES)
    assert (
        page.run("return document.querySelectorAll('img[onerror], h1 b, .photo b b').length") == 0
    )
    captions = page.texts("figcaption")
    assert len(captions) == 6
    assert any(EVIL in caption for caption in captions)


def test_every_section_is_there_and_reachable(page: Browser) -> None:
    assert page.texts("#sections a") == [
        "Summary", "Model", "Images", "Matches", "Pairs", "Accuracy and tracks",
    ]  # fmt: skip
    assert page.run(
        "return [...document.querySelectorAll('#sections a')]"
        ".every((link) => document.querySelector(link.getAttribute('href')))"
    )
    for selector in ("canvas.square", ".stage canvas", "svg"):
        named = page.run(
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((one) => one.getAttribute('aria-label'))",
            selector,
        )
        assert named, selector
        assert all(named), selector


def test_the_model_is_drawn(page: Browser) -> None:
    picture = page.picture(page.find(".stage canvas")).astype(int)
    drawn = np.abs(picture - GROUND).max(axis=2) > 40
    assert drawn.mean() > 0.01
    rows = np.flatnonzero(drawn.any(axis=1))
    assert np.ptp(rows) > 0.5 * picture.shape[0]  # it fills the view
    orange = (picture[..., 2] > 200) & (picture[..., 0] < 110) & (picture[..., 1] > 120)
    assert orange.sum() > 200  # the cameras
    page.run("reconstructionReport.view.show_cameras = false; reconstructionReport.view.paint()")
    without = page.picture(page.find(".stage canvas")).astype(int)
    gone = (without[..., 2] > 200) & (without[..., 0] < 110) & (without[..., 1] > 120)
    assert gone.sum() < orange.sum() / 2


def places(page: Browser) -> list[Any]:
    """Where on the canvas each camera stands, by the view's own projection."""
    return list(
        page.run(
            "const { view } = reconstructionReport;"
            "return view.shapes.places.map(([apex]) => view.project(apex))"
        )
    )


def test_a_camera_under_the_pointer_names_its_image(page: Browser, out: Path) -> None:
    canvas = page.find(".stage canvas")
    for (x, y), name in zip(places(page), read_model(out / "sparse/0").names, strict=True):
        page.hover(canvas, x, y)
        assert page.texts("#tip b") == [name]
        assert page.texts(".chosen") == [name]
        assert page.find("#tip").is_displayed()
    page.hover(canvas, 5, 5)
    assert not page.find("#tip").is_displayed()
    assert page.texts(".chosen") == [""]
    assert page.errors() == []


@pytest.mark.parametrize("pointer", ["mouse", "touch"])
def test_a_click_or_a_tap_opens_the_camera_and_nothing_else_does(
    pointer: str, page: Browser, out: Path
) -> None:
    canvas = page.find(".stage canvas")
    page.show(canvas)
    canvas.send_keys("p")  # a camera that is chosen by key is not where the pointer is
    page.tap(canvas, 5, 5, pointer)
    assert page.texts("dialog[open]") == []
    name = read_model(out / "sparse/0").names[0]
    page.tap(canvas, *places(page)[0], pointer)
    assert page.texts("dialog[open] h2") == [name]
    assert page.errors() == []


def test_keys_with_control_are_left_to_the_browser(page: Browser) -> None:
    before = places(page)
    press = (
        "return arguments[0].dispatchEvent(new KeyboardEvent('keydown',"
        "{key: '+', ctrlKey: arguments[1], cancelable: true}))"
    )
    canvas = page.find(".stage canvas")
    assert page.run(press, canvas, True)
    assert places(page) == before
    assert not page.run(press, canvas, False)
    assert places(page) != before


def test_cameras_stand_where_pixels_are_drawn(page: Browser) -> None:
    """The projection that names cameras is the one that draws them."""
    picture = page.picture(page.find(".stage canvas")).astype(int)
    for x, y in places(page):
        row, column = round(y), round(x)
        patch = picture[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        assert (np.abs(patch - GROUND).max(axis=2) > 40).any()


def test_dragging_and_keys_turn_the_model(page: Browser) -> None:
    canvas = page.find(".stage canvas")
    before = places(page)
    page.drag(canvas, 120, 0)
    turned = places(page)
    assert np.abs(np.subtract(turned, before)).max() > 20
    canvas.send_keys("0")
    assert np.allclose(places(page), before, atol=0.5)
    canvas.send_keys("+")
    assert np.ptp(places(page), axis=0)[0] > np.ptp(before, axis=0)[0]
    canvas.send_keys("n")
    assert page.texts(".chosen") == [sorted(NAMES[:-1])[0]]
    assert page.errors() == []


def test_images_can_be_filtered_found_and_opened(page: Browser) -> None:
    tools = "#images .tools button"
    assert page.texts(tools) == ["All 5", "registered 4", "verified, not registered 1"]
    page.run("document.querySelectorAll(arguments[0])[2].click()", tools)
    assert page.texts(".photo b") == ["left out.jpg"]
    page.run("document.querySelectorAll(arguments[0])[0].click()", tools)
    search = page.find("#images input[type=search]")
    search.send_keys("TÜR")
    assert page.texts(".photo b") == ["tür 日本.jpg"]
    page.run("document.querySelector('.photo').click()")
    assert page.texts("dialog[open] h2") == ["tür 日本.jpg"]
    assert len(page.texts("dialog tbody tr")) == 4
    page.run("document.querySelector('dialog .head button').click()")
    assert page.texts("dialog[open]") == []
    assert page.errors() == []


def test_the_matrix_tells_pairs(page: Browser) -> None:
    matrix = page.find("canvas.matrix")
    side = matrix.size["width"]
    page.hover(matrix, 0.1 * side, 0.3 * side)  # row 1, column 0
    first, second = sorted(NAMES)[:2]
    assert page.texts("#tip b") == [f"{second} – {first}"]
    assert page.texts("#tip span") == ["30 inliers of 50 matches"]


def test_the_graph_has_a_node_for_each_image(page: Browser) -> None:
    graph = page.find("#pairs canvas.square:not(.matrix)")
    side = graph.size["width"]
    page.hover(graph, 0.5 * side, 0.04 * side)  # the first one is at the top
    assert page.texts("#tip b") == [sorted(NAMES)[0]]
    assert page.texts("#tip span") == ["registered; verified with 4 images"]
    circle = page.picture(graph)
    page.run(
        "const layout = document.querySelector('#pairs select'); layout.value = 'map';"
        "layout.dispatchEvent(new Event('change'))"
    )
    assert (page.picture(graph) != circle).any()
    page.hover(graph, 0.5 * side, 0.98 * side)  # those without a camera stand in a row below
    assert page.texts("#tip b") == ["left out.jpg"]
    assert page.errors() == []


def test_without_webgl_it_says_so(out: Path, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", *NO_GL) as without:
        without.open(out / "report.html")
        (said,) = without.texts(".stage .notice")
        assert said.startswith("The 3D view needs WebGL 2")
        assert len(without.texts(".photo")) == len(NAMES)
        assert without.errors() == []


@pytest.mark.parametrize(
    ("kept", "sections"),
    [
        (("sparse",), ["Summary", "Model", "Images", "Accuracy and tracks"]),
        (("features.h5",), ["Summary", "Images"]),
        (("features.h5", "verified.h5"), ["Summary", "Images", "Matches"]),
        (("features.h5", "nothing verified"), ["Summary", "Images", "Matches"]),
        (("one camera, no point",), ["Summary", "Model", "Images"]),
    ],
)
def test_sections_only_where_there_are_data(
    kept: tuple[str, ...], sections: list[str], chromium: Browser, tmp_path: Path
) -> None:
    scene = report_scene(["a.jpg", "b.jpg", "c.jpg"])
    if "sparse" in kept:
        scene.write_model(tmp_path / "sparse" / "0", scene.names, 100)
    if "features.h5" in kept:
        scene.write_features(tmp_path / "features.h5", {"a.jpg": 300, "b.jpg": 300, "c.jpg": 0})
    if "one camera, no point" in kept:
        scene.write_model(tmp_path / "sparse" / "0", scene.names[:1], 0)
    if "verified.h5" in kept:
        scene.write_verified(tmp_path / "verified.h5", {("a.jpg", "b.jpg"): 40})
    if "nothing verified" in kept:
        scene.write_verified(tmp_path / "verified.h5", {("a.jpg", "b.jpg"): 0})
    report_on(tmp_path, sources_of(tmp_path))
    chromium.open(tmp_path / "report.html")
    assert chromium.texts("#sections a") == sections
    assert chromium.errors() == []


def test_a_thousand_images_stay_below_20_megabytes(chromium: Browser, tmp_path: Path) -> None:
    names = [f"{index:04d}.jpg" for index in range(1000)]
    scene = report_scene(names, n_points=400)
    for seed in range(20):
        write_photo(tmp_path / "photos" / names[seed], seed)
    for index, name in enumerate(names[20:]):
        (tmp_path / "photos" / name).hardlink_to(tmp_path / "photos" / names[index % 20])
    scene.write_features(tmp_path / "features.h5", dict.fromkeys(names, 400))
    pairs = {(a, b): 20 + i % 300 for i, a in enumerate(names) for b in names[i + 1 : i + 9]}
    scene.write_verified(tmp_path / "verified.h5", pairs)
    scene.write_model(tmp_path / "sparse" / "0", names, 300)
    in_use = (
        "return [...document.querySelectorAll('.photo canvas')].filter((one) => one.width).length"
    )
    report = report_on(tmp_path, sources_of(tmp_path, tmp_path / "photos"))
    assert 5e6 < report.n_bytes < 20e6
    chromium.open(tmp_path / "report.html")
    assert len(chromium.texts(".photo img")) == 1000  # none was left out for space
    chromium.show(chromium.find("#images .tools"))
    WebDriverWait(chromium.driver, 10).until(lambda _: chromium.run(in_use) > 0)
    chromium.run("document.querySelector('#images .tools input').click()")
    assert 0 < chromium.run(in_use) < 200  # canvases out of sight take no memory
    alphas = chromium.run(
        "const canvas = document.querySelector('canvas.matrix'), side = canvas.width;"
        "const { data } = canvas.getContext('2d').getImageData(0, 0, side, side);"
        "return Array.from({ length: side - 1 }, (_, i) => data[4 * (i * side + i + 1) + 3])"
    )
    assert len(alphas) == 499  # two images a cell, each pair in its own
    assert set(alphas) == {255}
    assert chromium.errors() == []

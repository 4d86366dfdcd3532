"""Graphs for torch.export, ONNX and TorchScript give what the plug-ins give, at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_photos import write_small_photos, write_small_weights

from silk_sfm.errors import ConfigError
from silk_sfm.export.extractor import (
    ExtractorGraph,
    GraphOptions,
    parabola_tops,
    suppress_in_rounds,
    top_padded,
)
from silk_sfm.export.matcher import MatcherGraph, MatcherGraphOptions
from silk_sfm.export.programs import export_extractor, export_matcher, script_network
from silk_sfm.extractors.silk import Silk, SilkOptions
from silk_sfm.features import LocalFeatures
from silk_sfm.images import ImageFolder
from silk_sfm.matchers.double_softmax import DoubleSoftmax
from silk_sfm.nn.detection import refine, suppress_neighbours
from silk_sfm.nn.weights import load_silk

SIZES = ((96, 128), (75, 90), (24, 31))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    write_small_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """(120, 160) float32 grey with a flat corner."""
    root = tmp_path_factory.mktemp("photos")
    write_small_photos(root, 1)
    pixels = ImageFolder.open(root).read("000.png", "grey").pixels
    pixels[:30, :40] = 0.5
    return pixels


def assert_same(found: tuple[torch.Tensor, ...], own: LocalFeatures) -> None:
    """The rows of a graph that are keypoints against those of the extractor, in any order."""
    keypoints, scores, descriptors = (np.asarray(each) for each in found)
    real = scores > 0
    assert real.sum() == len(own)
    assert not real[len(own) :].any()
    order, own_order = np.lexsort(keypoints[real].T), np.lexsort(own.keypoints.T)
    np.testing.assert_allclose(keypoints[real][order], own.keypoints[own_order], atol=2e-3)
    np.testing.assert_allclose(scores[real], own.scores, atol=1e-5)
    np.testing.assert_allclose(descriptors[real][order], own.descriptors[own_order], atol=1e-4)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("options", [GraphOptions(100), GraphOptions(100, 0, refine=False)])
def test_the_graph_is_the_extractor(
    weights: str, photo: np.ndarray, options: GraphOptions, padding: int
) -> None:
    graph = ExtractorGraph(load_silk(weights, padding), options)
    silk = Silk(
        SilkOptions(
            weights=weights,
            padding=padding,  # type: ignore[arg-type]
            top_k=100,
            nms_radius=options.nms_radius,
            refine=options.refine,
        )
    )
    with torch.no_grad():
        assert_same(graph(torch.from_numpy(photo)[None, None]), silk(photo))


def test_suppression_in_rounds_is_greedy_suppression() -> None:
    torch.manual_seed(0)
    scores = torch.randn(90, 110)
    for radius in (1, 4, 7):
        torch.testing.assert_close(
            suppress_in_rounds(scores, radius), suppress_neighbours(scores, radius)
        )


def test_tops_are_those_of_refine() -> None:
    logits = torch.randn(12, 15, generator=torch.Generator().manual_seed(1))
    cells = torch.arange(12 * 15)
    tops = parabola_tops(logits).flatten(1).T
    torch.testing.assert_close(tops.flip(1), refine(logits, cells))


def test_missing_rows_are_no_keypoints() -> None:
    scores, cells = top_padded(torch.tensor([1.0, -torch.inf, 3.0]), 4)
    assert scores.tolist() == [3, 1, -torch.inf, -torch.inf]
    assert cells.tolist() == [2, 0, 0, 0]


@pytest.fixture(scope="module")
def program(weights: str) -> torch.export.ExportedProgram:
    return export_extractor(ExtractorGraph(load_silk(weights), GraphOptions(60)))


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_exported_program(
    program: torch.export.ExportedProgram, weights: str, photo: np.ndarray, size: tuple[int, int]
) -> None:
    image = np.ascontiguousarray(photo[-size[0] :, -size[1] :])
    own = Silk(SilkOptions(weights=weights, top_k=60))(image)
    with torch.no_grad():
        assert_same(program.module()(torch.from_numpy(image)[None, None]), own)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of torch's exporter about itself
def test_onnx_files(
    weights: str, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from silk_sfm.cli.main import DONE, main

    command = ["export-onnx", str(tmp_path), "--weights", weights, "--n-keypoints", "60"]
    assert main(command) == DONE
    assert "extractor.onnx" in capsys.readouterr().out
    extractor = onnxruntime.InferenceSession(tmp_path / "extractor.onnx")
    silk = Silk(SilkOptions(weights=weights, top_k=60))
    for height, width in SIZES:
        image = np.ascontiguousarray(photo[-height:, -width:])
        assert_same(extractor.run(None, {"image": image[None, None]}), silk(image))
    matcher = onnxruntime.InferenceSession(tmp_path / "matcher.onnx")
    a, b = silk(photo), silk(photo[8:, 5:].copy())
    for left, right in ((a, b), (a.select(np.arange(3)), b), (a, b.select(np.arange(1)))):
        inputs = {"descriptors_a": left.descriptors, "descriptors_b": right.descriptors}
        assert_same_matches(matcher.run(None, inputs), left, right)


def test_files_are_not_replaced_unasked(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from silk_sfm.cli.main import FAILED, main

    mine = tmp_path / "matcher.onnx"
    mine.write_text("mine")
    assert main(["export-onnx", str(tmp_path), "--weights", weights]) == FAILED
    assert capsys.readouterr().err == (
        f"silk-sfm export-onnx: error: There is a {mine} already. Add --overwrite to replace it.\n"
    )
    assert mine.read_text() == "mine"


def assert_same_matches(found: list[np.ndarray], a: LocalFeatures, b: LocalFeatures) -> None:
    own = DoubleSoftmax(DoubleSoftmax.Options())(a, b)
    matches, probabilities = (np.asarray(each) for each in found)
    rows = np.flatnonzero(matches >= 0)
    np.testing.assert_array_equal(rows, own.indices[:, 0])
    np.testing.assert_array_equal(matches[rows], own.indices[:, 1])
    np.testing.assert_allclose(probabilities[rows], own.scores, rtol=1e-4)
    assert (probabilities[matches < 0] == 0).all()


def test_the_matcher_graph_is_the_matcher() -> None:
    a, b = random_features(40), random_features(30)
    for threshold in (0.0, 0.3):
        graph = MatcherGraph(MatcherGraphOptions(threshold=threshold))
        found = graph(torch.from_numpy(a.descriptors), torch.from_numpy(b.descriptors))
        own = DoubleSoftmax(DoubleSoftmax.Options(threshold=threshold))(a, b)
        assert len(own) > 10
        rows = np.flatnonzero(found[0] >= 0)
        np.testing.assert_array_equal(rows, own.indices[:, 0])
        np.testing.assert_array_equal(found[0][rows], own.indices[:, 1])


def random_features(count: int) -> LocalFeatures:
    """The first ones are the same in every call."""
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(count, 16)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    zeros = np.zeros((count, 2), np.float32)
    return LocalFeatures(zeros, zeros[:, 0].copy(), descriptors, (9, 9))


@pytest.mark.slow
def test_exported_matcher() -> None:
    program = export_matcher(MatcherGraph(MatcherGraphOptions()), 16).module()
    for n_a, n_b in ((40, 30), (3, 9), (2, 2)):
        a, b = random_features(n_a), random_features(n_b)
        found = program(torch.from_numpy(a.descriptors), torch.from_numpy(b.descriptors))
        assert_same_matches(list(found), a, b)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript(weights: str) -> None:
    network = load_silk(weights)
    script = script_network(network)
    for height, width in SIZES:
        image = torch.rand(2, 1, height, width)
        with torch.no_grad():
            for found, expected in zip(script(image), network(image), strict=True):
                torch.testing.assert_close(found, expected)


def test_bad_options() -> None:
    with pytest.raises(ConfigError) as caught:
        GraphOptions(0)
    assert str(caught.value) == (
        "n_keypoints must be at least 1 and nms_radius at least 0, got 0 and 4."
    )
    with pytest.raises(ConfigError) as caught:
        MatcherGraphOptions(threshold=1.0)
    assert str(caught.value) == (
        "temperature and descriptor_scale must be above 0, threshold in [0, 1), "
        "got 0.1, 1.41 and 1.0."
    )

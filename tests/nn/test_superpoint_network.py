from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_others import grey, made_weights, recorded
from safetensors.torch import save_file
from torch import Tensor

from silk_sfm.errors import WeightsError
from silk_sfm.nn.detection import REMOVED
from silk_sfm.nn.sampling import sample_unit
from silk_sfm.nn.superpoint import (
    SuperPointNetwork,
    has_normalisation,
    load_superpoint,
    pixel_scores,
    plain_name,
)
from silk_sfm.nn.superpoint_detection import (
    Sampling,
    drop_border,
    suppress,
    suppress_in_rounds,
    to_cells,
)

IMAGES = ["astronaut_97x120", "coffee_240x320"]
ATOL = 1e-4  # of the reference data's own advice; seen are 2e-5 for logits, 1e-6 for descriptors


def network(layout: str) -> SuperPointNetwork:
    tensors = {
        plain_name(name): value for name, value in made_weights("superpoint", layout).items()
    }
    made = SuperPointNetwork(has_normalisation(tensors)).eval()
    made.load_state_dict(tensors)
    return made


@cache
@torch.inference_mode()
def maps(layout: str, image: str) -> tuple[Tensor, Tensor]:
    """(65, h, w) logits and (256, h, w) unit descriptors."""
    logits, descriptors = network(layout)(torch.from_numpy(grey(image))[None, None])
    return logits[0], descriptors[0]


# ---------- recorded behaviour of the originals ----------


@pytest.mark.parametrize("layout", ["magicleap", "rpautrat"])
@torch.inference_mode()
def test_recorded_maps(layout: str) -> None:
    logits, descriptors = maps(layout, "astronaut_97x120")
    expected = recorded("superpoint", f"{layout}_astronaut_97x120")
    first, second = ("semi", "coarse_desc") if layout == "magicleap" else ("logits", "dense_desc")
    np.testing.assert_allclose(logits, expected[first], atol=ATOL)
    half_precision = 5e-4 if expected[second].dtype == np.float16 else 1e-6
    np.testing.assert_allclose(descriptors, expected[second], atol=half_precision)


@pytest.mark.parametrize("image", IMAGES)
@torch.inference_mode()
def test_recorded_scores(image: str) -> None:
    paper = recorded("superpoint", f"magicleap_{image}")["heatmap"]
    lightglue = recorded("superpoint", f"lightglue_{image}")["dense_scores"]
    retrained = recorded("superpoint", f"rpautrat_{image}")["dense_scores"]
    scores = pixel_scores(maps("magicleap", image)[0])
    np.testing.assert_allclose(scores, paper, atol=ATOL)
    np.testing.assert_allclose(scores, lightglue, atol=1e-5)
    np.testing.assert_allclose(pixel_scores(maps("rpautrat", image)[0]), retrained, atol=2e-5)


CONVENTIONS: list[tuple[Sampling, str]] = [
    ("half-pixel", "desc_rpautrat_half_pixel"),
    ("superglue", "desc_lightglue_superglue"),
    ("magicleap", "desc_magicleap_align_false"),
    ("magicleap-2018", "desc_magicleap_align_true_old_torch"),
]


@pytest.mark.parametrize(("how", "key"), CONVENTIONS)
@pytest.mark.parametrize("image", IMAGES)
def test_recorded_samplings(image: str, how: Sampling, key: str) -> None:
    expected = recorded("superpoint", f"sampling_{image}")
    shape = grey(image).shape
    coarse = expected.get("coarse_desc_f16")
    if coarse is None:
        coarse = recorded("superpoint", f"magicleap_{image}")["coarse_desc"]
    coarse_map = torch.from_numpy(coarse.astype(np.float32))
    xy = torch.from_numpy(expected["keypoints"])
    found = sample_unit(coarse_map, to_cells(xy, coarse_map, (shape[0], shape[1]), how))
    np.testing.assert_allclose(found, expected[key], atol=1e-3 if "240" in image else 1e-6)


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_recorded_suppression_in_rounds(radius: int) -> None:
    case = recorded("superpoint", "iterative_nms")
    found = suppress_in_rounds(torch.from_numpy(case["scores"]), radius)
    expected = case[f"out_r{radius}"]
    np.testing.assert_array_equal(torch.where(found == REMOVED, 0.0, found), expected)


def test_recorded_greedy_suppression() -> None:
    case = recorded("superpoint", "magicleap_misc")
    height, width = int(case["nms_H"]), int(case["nms_W"])
    x, y, score = case["nms_in"]
    scores = torch.full((height, width), REMOVED)
    scores[np.rint(y).astype(int), np.rint(x).astype(int)] = torch.from_numpy(score).float()
    kept = suppress(scores, int(case["nms_dist"]), "greedy")
    rows, columns = (kept > REMOVED).nonzero().T
    expected = {tuple(point) for point in np.rint(case["nms_out"][:2]).T.astype(int).tolist()}
    assert set(zip(columns.tolist(), rows.tolist(), strict=True)) == expected


# ---------- known answers and invariants ----------


def test_the_two_layouts_have_the_same_size() -> None:
    names = set(SuperPointNetwork(False).state_dict())
    assert len(names) == 24 and names < set(SuperPointNetwork(True).state_dict())
    assert plain_name("conv3b.bias") == "backbone.2.1.conv.bias"
    assert plain_name("convPa.weight") == "detector.0.conv.weight"
    assert plain_name("convDb.bias") == "descriptor.1.conv.bias"
    assert plain_name("backbone.0.0.bn.weight") == "backbone.0.0.bn.weight"


def test_a_class_is_a_pixel_of_its_cell() -> None:
    logits = torch.zeros(65, 2, 3)
    logits[8 * 5 + 2, 1, 2] = 50.0  # row 5, column 2 of the cell in row 1, column 2
    scores = pixel_scores(logits)
    assert scores.shape == (16, 24)
    assert (scores == scores.max()).nonzero().tolist() == [[8 + 5, 16 + 2]]
    assert scores[0, 0] == pytest.approx(1 / 65)


def test_the_border_is_that_of_the_image_or_of_the_cells() -> None:
    scores = torch.ones(16, 24)  # of an image of 18 x 27
    rows, columns = (drop_border(scores, 4, (18, 27), "greedy") == 1).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 13, 4, 22)
    rows, columns = (drop_border(scores, 4, (18, 27), "rounds") == 1).nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 11, 4, 19)


def test_exact_sampling_reads_a_cell_at_its_centre() -> None:
    descriptors = torch.nn.functional.normalize(torch.rand(9, 3, 4), dim=0)
    centre = torch.tensor([[2 * 8 + 3.5, 8 + 3.5]])
    found = sample_unit(descriptors, to_cells(centre, descriptors, (24, 32), "half-pixel"))
    torch.testing.assert_close(found[0], descriptors[:, 1, 2])


# ---------- files ----------


@pytest.mark.parametrize("layout", ["magicleap", "rpautrat"])
@pytest.mark.parametrize("old_format", [False, True])
def test_loads_both_layouts(tmp_path: Path, layout: str, old_format: bool) -> None:
    path = tmp_path / "superpoint.pth"
    torch.save(
        made_weights("superpoint", layout),
        path,
        _use_new_zipfile_serialization=not old_format,
    )
    loaded, expected = load_superpoint(path), network(layout)
    assert not loaded.training
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1a.weight": torch.zeros(64, 1, 3, 3)}, path)
    with pytest.raises(WeightsError) as error:
        load_superpoint(path)
    assert str(error.value) == (
        f"{path}: expected the tensors of SuperPoint, found 23 missing, the first is "
        "backbone.0.0.conv.bias."
    )
    tensors = SuperPointNetwork(False).state_dict()
    tensors["detector.1.conv.bias"] = torch.zeros(64)
    save_file(tensors, path)
    with pytest.raises(
        WeightsError, match=r"detector\.1\.conv\.bias \(64,\) instead of \(65,\)\.$"
    ):
        load_superpoint(path)

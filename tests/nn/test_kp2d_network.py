from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_others import made_weights, recorded, rgb
from torch import Tensor

from silk_sfm.errors import WeightsError
from silk_sfm.nn.kp2d import (
    VARIANTS,
    KeypointNet,
    keypoint_places,
    load_kp2d,
    scale_input,
    without_outer_cells,
)


def network(version: str) -> KeypointNet:
    made = KeypointNet(VARIANTS[version]).eval()
    made.load_state_dict(made_weights("kp2d", "keypointnet"))
    return made


def batch(name: str = "astronaut_64x96") -> Tensor:
    return scale_input(torch.from_numpy(rgb(name)).permute(2, 0, 1)[None])


def test_recorded_input() -> None:
    expected = recorded("kp2d", "keypointnet_64x96")["input_normalized"]
    np.testing.assert_array_equal(batch(), expected)


@pytest.mark.parametrize("version", ["v0", "v1", "v4"])
@torch.inference_mode()
def test_recorded_maps(version: str) -> None:
    expected = recorded("kp2d", "keypointnet_64x96")
    scores, shifts, raw = network(version)(batch())
    places = keypoint_places(shifts[0], VARIANTS[version].cross_border)
    score = without_outer_cells(scores[0, 0])
    np.testing.assert_allclose(score, expected[f"{version}_score"][0, 0], atol=1e-5)
    np.testing.assert_allclose(places, expected[f"{version}_coord"][0], atol=1e-3)
    if version == "v4":
        np.testing.assert_allclose(raw, expected["v4_feat_dense_raw_f16"], atol=5e-3)


def test_the_later_versions_are_one_network() -> None:
    assert VARIANTS["v2"].footprint == VARIANTS["v3"].footprint == VARIANTS["v4"].footprint
    sizes = {sum(p.numel() for p in KeypointNet(each).parameters()) for each in VARIANTS.values()}
    assert sizes == {5_312_227}
    assert [each.descriptor_cell for each in VARIANTS.values()] == [8, 8, 4, 4, 4]


def test_shifts_reach_the_edge_of_a_cell_or_the_next_centres() -> None:
    shifts = torch.zeros(2, 3, 4)
    shifts[:, 1, 1], shifts[0, 0, 0] = 1.0, -1.0
    within, beyond = keypoint_places(shifts, False), keypoint_places(shifts, True)
    assert within[:, 1, 2].tolist() == beyond[:, 1, 2].tolist() == [19.5, 11.5]
    assert within[:, 1, 1].tolist() == [15.0, 15.0]
    assert beyond[:, 1, 1].tolist() == [18.5, 18.5]
    assert within[:, 0, 0].tolist() == [0.0, 3.5]
    assert beyond[:, 0, 0].tolist() == [0.0, 3.5]  # not beyond the image


def test_only_the_outermost_cells_lose_their_score() -> None:
    assert without_outer_cells(torch.ones(4, 5)).sum() == 2 * 3
    assert without_outer_cells(torch.ones(2, 5)).sum() == 0
    assert without_outer_cells(torch.ones(1, 1)).sum() == 0


def test_dropout_is_for_training_only() -> None:
    made, image = network("v4"), batch()[:, :, :16, :16]
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.equal(made(image)[0], made(image)[0])
        made.train()
        assert not torch.equal(made(image)[0], made(image)[0])


def test_loads_a_checkpoint_of_its_authors(tmp_path: Path) -> None:
    path = tmp_path / "v4.ckpt"
    parallel = {f"module.{name}": value for name, value in network("v4").state_dict().items()}
    config = {"model": {"params": {"use_color": True}}}
    torch.save({"state_dict": parallel, "config": config}, path)
    loaded = load_kp2d(path, "v4")
    assert not loaded.training
    torch.testing.assert_close(loaded(batch()), network("v4")(batch()), atol=1e-4, rtol=1e-4)
    torch.save({"state_dict": {"a": torch.ones(1)}}, path)
    with pytest.raises(WeightsError, match=r"the tensors of KP2D's KeypointNet, found 84 missing"):
        load_kp2d(path, "v4")

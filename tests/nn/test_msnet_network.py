from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_others import made_weights, recorded, rgb
from torch import Tensor

from silk_sfm.errors import WeightsError
from silk_sfm.nn.colours import normalise_colours
from silk_sfm.nn.msnet import MsNetV0, load_msnet, plain_name, to_cells
from silk_sfm.nn.sampling import sample_unit


def network() -> MsNetV0:
    made = MsNetV0().eval()
    weights = made_weights("msnet", "msnet_v0").items()
    made.load_state_dict({plain_name(name): value for name, value in weights})
    return made


def batch() -> Tensor:
    return normalise_colours(torch.from_numpy(rgb("astronaut_96x128")).permute(2, 0, 1)[None])


@torch.inference_mode()
def test_recorded_maps() -> None:
    expected, made, image = recorded("msnet", "msnet_v0_96x128"), network(), batch()
    np.testing.assert_allclose(made(image)[0][0], expected["descs0"], atol=1e-5)
    flipped = made(image.flip(3))[0][0, :, ::4, ::4]
    np.testing.assert_allclose(flipped, expected["descs1_flipped_stride"], atol=1e-5)


@torch.inference_mode()
def test_recorded_stages() -> None:
    expected, stages = recorded("msnet", "msnet_v0_96x128"), network().backbone
    for n_layers, key in ((4, "C1_ch0"), (5, "C2_ch0"), (6, "C3_ch0")):
        np.testing.assert_allclose(stages[:n_layers](batch())[0, 0], expected[key], atol=1e-4)


@torch.inference_mode()
def test_recorded_sampling() -> None:
    expected = recorded("msnet", "msnet_v0_96x128")
    maps = network()(batch())[0][0]
    xy = torch.from_numpy(expected["keypoints_xy"])
    found = sample_unit(maps, to_cells(xy, maps, (96, 128), "original"))
    np.testing.assert_allclose(found, expected["sampled"], atol=1e-5)


@torch.inference_mode()
def test_a_cell_is_centred_at_every_fourth_pixel() -> None:
    made = MsNetV0().eval()
    image = torch.rand(1, 3, 161, 161)
    maps = made(image)[0]
    for axis in (2, 3):  # pixel 80 stays; so must cell 20, when the filters are mirrored as well
        mirror = MsNetV0().eval()
        mirror.load_state_dict(
            {
                name: tensor.flip(axis) if tensor.ndim == 4 else tensor
                for name, tensor in made.state_dict().items()
            }
        )
        found = mirror(image.flip(axis))[0].flip(axis)
        torch.testing.assert_close(found, maps, atol=1e-4, rtol=1e-4)
    middle = torch.tensor([[80.0, 80.0]])
    assert maps.shape == (1, 128, 41, 41)
    assert to_cells(middle, maps[0], (161, 161), "exact").tolist() == [[20, 20]]


def test_odd_sizes() -> None:
    made = network()
    for height, width in ((1, 1), (5, 3), (61, 93)):
        shape = made(torch.zeros(1, 3, height, width))[0].shape
        assert shape == (1, 128, -(-height // 4), -(-width // 4))


def test_loads_its_authors_names(tmp_path: Path) -> None:
    path = tmp_path / "msnet.pth"
    torch.save({"state_dict": made_weights("msnet", "msnet_v0")}, path)
    expected = network().state_dict()
    for name, tensor in load_msnet(path).state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)
    assert sum(p.numel() for p in network().parameters()) == 1_289_792
    torch.save({}, path)
    with pytest.raises(WeightsError, match=r"expected the tensors of MSNetV0, found 6\d missing"):
        load_msnet(path)

"""One whole step of the original, recorded: network in training mode, losses, all gradients."""

from functools import cache

import numpy as np
import pytest
import torch
from shared_data import shared
from torch import Tensor, nn
from torch.nn import functional

from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.nn.weights import clean_name, load_silk
from silk_sfm.training.losses import LossOptions, SilkLoss, silk_loss

RTOL = 1e-4
"""Relative to the largest entry of a tensor."""
NOISE = 5e-6
"""Biases before a batch normalisation have gradient 0 up to rounding."""
AT_THE_KINK = (0, 49, 29, 21)
"""The input of the second block's ReLU that is next to 0, of 300,000: exactly 2.2e-7. The original
rounded it to the other side, which alone moves gradients by up to 0.5 %."""


@cache
def recorded() -> dict[str, Tensor]:
    arrays = np.load(shared("reference", "train_step.npz"))
    return {key: torch.from_numpy(arrays[key]) for key in arrays}


def recorded_tensors(prefix: str) -> dict[str, Tensor]:
    """By our names."""
    found = {key.removeprefix(prefix): value for key, value in recorded().items()}
    return {clean_name(key): found[key] for key in found if prefix + key in recorded()}


def interleaved(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(2 N, C, h, w) original, warped, original, ... -> (N, h * w, C) of each."""
    cells = maps.flatten(2).transpose(1, 2)
    return cells[::2], cells[1::2]


@cache
def step() -> tuple[SilkNetwork, SilkLoss, list[Tensor]]:
    """The network after the backward pass, the losses, and logits and descriptors of both sides."""
    network = load_silk(shared("reference", "checkpoints", "pvgg-micro.ckpt")).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.momentum == 0.1
    kink = network.get_submodule("stages.0.1.convolution")
    kink.register_forward_hook(lambda *call: to_the_other_side(call[2]))
    logits, raw = network(recorded()["gray_images"])
    descriptors = functional.normalize(raw, dim=1) * network.descriptor_scale
    scores = [each.squeeze(2) for each in interleaved(logits)]
    maps = [*scores, *interleaved(descriptors)]
    truth = (recorded()[f"corr_{way}"].long() for way in ("forward", "backward"))
    losses = silk_loss(*maps, *truth, LossOptions())
    (losses.descriptor + losses.keypoint).backward()  # type: ignore[no-untyped-call]
    return network, losses, [each.detach() for each in maps]


def to_the_other_side(activations: Tensor) -> Tensor:
    assert 0 <= float(activations[AT_THE_KINK].detach().abs()) < 2e-6
    moved = activations.clone()
    moved[AT_THE_KINK] = -1e-6
    return moved


def close(found: Tensor, expected: Tensor, rtol: float = RTOL) -> None:
    atol = rtol * float(expected.abs().max()) + NOISE
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_recorded_maps() -> None:
    for side in (0, 1):
        logits, descriptors = step()[2][side], step()[2][2 + side]
        close(logits, recorded()[f"logits_{side}"])
        close(descriptors[:, :40], recorded()[f"descriptors_{side}_first40"])


def test_recorded_losses() -> None:
    losses = step()[1]
    found = torch.stack([losses.descriptor, losses.keypoint, losses.precision, losses.recall])
    expected = recorded()["desc_kp_precision_recall"]
    torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-6)


def test_recorded_gradients() -> None:
    expected = recorded_tensors("grad/")
    parameters = dict(step()[0].named_parameters())
    assert expected.keys() <= parameters.keys()
    for name, gradient in expected.items():
        found = parameters[name].grad
        assert found is not None
        close(found, gradient)


def test_recorded_lengths_of_all_gradients() -> None:
    expected = recorded_tensors("grad_norm/")
    parameters = dict(step()[0].named_parameters())
    assert expected.keys() == parameters.keys()
    for name, length in expected.items():
        found = parameters[name].grad
        assert found is not None
        assert float(found.norm()) == pytest.approx(float(length), rel=RTOL, abs=NOISE), name


def test_recorded_running_statistics() -> None:
    expected = recorded_tensors("buffer_after/")
    buffers = dict(step()[0].named_buffers())
    averages = [name for name in buffers if "running" in name]
    assert expected.keys() == set(averages)
    for name, statistics in expected.items():
        close(buffers[name], statistics, 1e-5)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from silk_sfm.training.sight import SightOptions, look, principal_colours
from silk_sfm.training.views import Views

MARGIN, SIZE = 3, 30
SHIFT = (5, 2)
"""Where pixel (0, 0) of view a lies in view b."""
OPTIONS = SightOptions(n_keypoints=3, nms_radius=1, tolerance=1.5)


class Stub(nn.Module):
    """Scores are the grey values, descriptors are given."""

    def __init__(self, descriptors: Tensor) -> None:
        super().__init__()
        self.descriptors = descriptors

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN], self.descriptors


def views(peaks_a: list[tuple[int, int]], peaks_b: list[tuple[int, int]]) -> Views:
    """Bright pixels (x, y) on black."""
    a_to_b = torch.eye(3, dtype=torch.float64)
    a_to_b[:2, 2] = torch.tensor(SHIFT, dtype=torch.float64)
    return Views(spots(peaks_a), spots(peaks_b), a_to_b[None])


def spots(peaks: list[tuple[int, int]]) -> Tensor:
    image = torch.zeros(1, 1, SIZE, SIZE)
    for x, y in peaks:
        image[0, 0, y, x] = 1
    return image


def axes_at(*places: list[tuple[int, int]]) -> Tensor:
    """(2, 4, h, w): axis n at the n-th place of each view, axis 3 elsewhere."""
    side = SIZE - 2 * MARGIN
    fields = torch.zeros(2, 4, side, side)
    fields[:, 3] = 1
    for field, spots_of_view in zip(fields, places, strict=True):
        for axis, (x, y) in enumerate(spots_of_view):
            field[:, y - MARGIN, x - MARGIN] = torch.eye(4)[axis] * 7  # lengths do not matter
    return fields


def test_keypoints_and_matches_of_known_maps() -> None:
    # In b: the first again, the second 5 pixels off, the third of a lies beyond b's cells.
    in_a = [(8, 9), (12, 20), (26, 12)]
    in_b = [(13, 11), (17, 17), (6, 4)]
    sight = look(Stub(axes_at(in_a, in_b)), views(in_a, in_b), MARGIN, OPTIONS)
    assert sorted(map(tuple, sight.a.keypoints.tolist())) == sorted(in_a)
    assert sorted(map(tuple, sight.b.keypoints.tolist())) == sorted(in_b)
    of_a = dict(zip(map(tuple, sight.a.keypoints.tolist()), range(3), strict=True))
    order = [of_a[place] for place in in_a]
    assert sight.a.shared[order].tolist() == [True, True, False]
    assert sight.a.repeated[order].tolist() == [True, False, False]
    of_b = dict(zip(map(tuple, sight.b.keypoints.tolist()), range(3), strict=True))
    order = [of_b[place] for place in in_b]
    assert sight.b.shared[order].tolist() == [True, True, False]  # (1, 2) of a is no cell
    assert sight.b.repeated[order].tolist() == [True, False, False]
    right = {
        in_a.index(tuple(sight.a.keypoints[i])): bool(is_right)
        for (i, j), is_right in zip(sight.matches, sight.right, strict=True)
        if in_b.index(tuple(sight.b.keypoints[j])) == in_a.index(tuple(sight.a.keypoints[i]))
    }
    assert right == {0: True, 1: False, 2: False}
    np.testing.assert_array_equal(sight.a.image, views(in_a, in_b).a[0, 0].numpy())


def test_a_network_learns_nothing_from_being_looked_at() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 5, 7), nn.BatchNorm2d(5))
    state = {name: value.clone() for name, value in network.state_dict().items()}

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            maps = self.network(images)
            return maps[:, :1], maps[:, 1:]

    noise = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    same = Views(noise, noise, torch.eye(3, dtype=torch.float64)[None])
    whole = Two()
    sight = look(whole, same, MARGIN, SightOptions(n_keypoints=10))
    assert whole.training and network.training
    assert sight.right.all() and len(sight.matches) == 10
    assert sight.a.repeated.all() and sight.b.shared.all()
    np.testing.assert_array_equal(sight.a.colours, sight.b.colours)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_equal_descriptors_have_equal_colours_in_both_views() -> None:
    generator = torch.Generator().manual_seed(1)
    words = torch.randn(3, 8, generator=generator)
    labels = torch.randint(3, (2, 6, 9), generator=generator)
    colours = principal_colours(words[labels].permute(0, 3, 1, 2))
    assert colours.shape == (2, 6, 9, 3) and colours.dtype == torch.uint8
    shown = [colours[labels == word].unique(dim=0) for word in range(3)]
    assert [len(rows) for rows in shown] == [1, 1, 1]
    assert len(torch.cat(shown).unique(dim=0)) == 3


def test_the_main_component_is_the_first_colour() -> None:
    ramp = torch.linspace(-1, 1, 101).reshape(1, 1, 1, 101)
    fields = torch.cat([0.1 * ramp.flip(3).abs(), 5 * ramp], dim=1)
    colours = principal_colours(fields)[0, 0]
    assert (colours[:, 0].int().diff() >= 0).all()
    assert colours[0, 0] == 0 and colours[-1, 0] == 255
    assert (colours[:, 2] == 0).all()  # two numbers have no third component


def test_flat_descriptors_have_one_colour() -> None:
    assert len(principal_colours(torch.ones(2, 4, 3, 3)).reshape(-1, 3).unique(dim=0)) == 1

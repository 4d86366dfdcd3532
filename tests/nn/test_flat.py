import torch

from silk_sfm.nn.flat import constant_around


def test_known_answer() -> None:
    image = torch.full((7, 9), 0.3)
    image[3, 0] = 0.31
    flat = constant_around(image, 2)
    expected = torch.ones(7, 9, dtype=torch.bool)
    expected[1:6, :3] = False
    assert torch.equal(flat, expected)


def test_a_tiny_difference_counts() -> None:
    image = torch.full((5, 5), 0.5)
    image[2, 2] += 6e-8
    assert not constant_around(image, 4).any()
    assert constant_around(torch.full((5, 5), 0.5), 4).all()

import torch
from hypothesis import given
from hypothesis import strategies as st

from silk_sfm.nn.sampling import half_pixel, sample_unit


def ramp() -> torch.Tensor:
    """(3, 4, 5): x, y and 1, so that the direction tells the place."""
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)])


@given(st.floats(-3, 8), st.floats(-3, 8))
def test_reads_between_cells_and_the_border_beyond(x: float, y: float) -> None:
    (found,) = sample_unit(ramp(), torch.tensor([[x, y]]))
    inside = torch.tensor([min(max(x, 0), 4), min(max(y, 0), 3), 1.0])
    torch.testing.assert_close(found, inside / inside.norm(), atol=1e-5, rtol=1e-5)


def test_one_cell_and_no_place() -> None:
    (found,) = sample_unit(torch.tensor([[[3.0]], [[4.0]]]), torch.tensor([[7.0, -2.0]]))
    torch.testing.assert_close(found, torch.tensor([0.6, 0.8]))
    assert sample_unit(ramp(), torch.zeros(0, 2)).shape == (0, 3)


def test_half_pixel_keeps_the_corners() -> None:
    xy = torch.tensor([[-0.5, -0.5], [3.5, 3.5], [7.5, 15.5]])
    assert half_pixel(xy, 8).tolist() == [[-0.5, -0.5], [0.0, 0.0], [0.5, 1.5]]

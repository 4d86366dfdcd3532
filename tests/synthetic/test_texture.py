import numpy as np

from silk_sfm.synthetic.texture import make_texture, sample


def ramp() -> np.ndarray:
    """(32, 64, 3) uint8: twice the column in red, four times the row in green."""
    rows, columns = np.mgrid[:32, :64]
    return np.stack([2 * columns, 4 * rows, np.full((32, 64), 9)], axis=2).astype(np.uint8)


def test_colours_are_at_texel_centres() -> None:
    texture = make_texture(ramp(), (6.4, 3.2))  # 10 texels per metre
    uv = np.array([[0.05, 0.05], [3.15, 0.05], [6.35, 3.15]])
    expected = [[0, 0, 9], [62, 0, 9], [126, 124, 9]]
    np.testing.assert_allclose(texture.colours(uv, np.zeros(3)), expected, atol=0.01)


def test_smaller_copies_keep_their_place() -> None:
    texture = make_texture(ramp(), (6.4, 3.2))
    uv = np.array([[2.0, 1.2]] * 4)
    footprints = np.array([0.1, 0.2, 0.3, 0.4])  # up to two levels smaller
    colours = texture.colours(uv, footprints)
    np.testing.assert_allclose(colours, [[39, 46, 9]] * 4, atol=1.0)


def test_a_wide_footprint_gives_the_mean() -> None:
    texture = make_texture(ramp(), (6.4, 3.2))
    colours = texture.colours(np.array([[3.2, 1.6]]), np.array([100.0]))
    np.testing.assert_allclose(colours, [[63, 62, 9]], atol=4)


def test_sampling_of_many_few_and_no_positions() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    for n in (0, 1, 1023, 1024, 1025, 5000):
        x = np.linspace(0, 3, n, dtype=np.float32)
        np.testing.assert_allclose(sample(image, x, np.ones_like(x)), 4 + x, atol=0.04)

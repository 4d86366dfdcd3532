import torch
from torch.nn.functional import normalize

from silk_sfm.matching.vlad import learn_vocabulary, learn_words, summed


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_words_are_the_centres_of_clusters() -> None:
    true = torch.eye(4)
    noise = 0.05 * torch.randn(4, 50, 4, generator=generator())
    words = learn_words((true[:, None] + noise).reshape(-1, 4), 4, generator())
    nearest = (true @ words.T).max(dim=1)
    assert sorted(nearest.indices.tolist()) == [0, 1, 2, 3]
    assert nearest.values.min() > 0.995
    torch.testing.assert_close(words.norm(dim=1), torch.ones(4))


def test_sums_of_differences_by_hand() -> None:
    words = torch.tensor([[1.0, 0], [0, 1]])
    descriptors = torch.tensor([[0.8, 0.6], [3.0, 0]])  # both nearest to the first; any length
    difference = normalize(torch.tensor([-0.2, 0.6]), dim=0)
    torch.testing.assert_close(summed(descriptors, words), torch.tensor([*difference, 0, 0]))


def test_each_word_counts_alike() -> None:
    """A wall that repeats itself must not drown the rest."""
    words = torch.tensor([[1.0, 0], [0, 1]])
    often, once = torch.tensor([[0.8, 0.6]] * 9), torch.tensor([[0.6, 0.8]])
    found = summed(torch.cat([often, once]), words).reshape(2, 2)
    torch.testing.assert_close(found.norm(dim=1), torch.full((2,), 0.5**0.5))


def test_descriptors_equal_to_words_give_zero_not_nan() -> None:
    words = torch.eye(3)
    assert summed(words, words).tolist() == [0] * 9


def test_axes_keep_distances_between_the_learned_images() -> None:
    images = {
        f"{i}": torch.randn(40, 8, generator=torch.Generator().manual_seed(i)) for i in range(6)
    }
    vocabulary = learn_vocabulary(images.__getitem__, list(images), 4, 100, generator())
    assert vocabulary.axes.shape == (32, 6)
    full = torch.stack([summed(image, vocabulary.words) for image in images.values()])
    short = torch.stack([vocabulary.vector(image) for image in images.values()])
    torch.testing.assert_close(
        torch.cdist(full, full), torch.cdist(short, short), atol=1e-4, rtol=0
    )
    few = learn_vocabulary(images.__getitem__, list(images), 4, 2, generator())
    assert few.vector(images["0"]).shape == (2,)
    torch.testing.assert_close(few.vector(images["0"]).abs(), short[0, :2].abs(), atol=1e-4, rtol=0)

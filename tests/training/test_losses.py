import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared
from torch import Tensor

from silk_sfm.errors import ConfigError
from silk_sfm.options import structure
from silk_sfm.training.correspondences import NONE
from silk_sfm.training.dense_losses import dense_losses
from silk_sfm.training.losses import LossOptions, SilkLoss, silk_loss

PLAIN = LossOptions()
SIDES = ("0", "1")


@cache
def recorded() -> dict[str, np.ndarray]:
    return dict(np.load(shared("reference", "loss.npz")))


def tensor(key: str) -> Tensor:
    return torch.from_numpy(recorded()[key].copy())


def recorded_inputs(folder: str) -> list[Tensor]:
    """Logits and descriptors of both sides, with gradients."""
    keys = [f"loss/{folder}/{part}_{side}" for part in ("logits", "desc") for side in SIDES]
    return [tensor(key).requires_grad_() for key in keys]


def recorded_truth(folder: str) -> list[Tensor]:
    return [tensor(f"loss/{folder}/corr_{side}").long() for side in SIDES]


def compare(found: SilkLoss, case: str) -> None:
    values = [found.descriptor, found.keypoint, found.precision, found.recall]
    expected = tensor(f"loss/{case}/desc_kp_precision_recall")
    torch.testing.assert_close(torch.stack(values).detach(), expected, rtol=1e-5, atol=1e-6)


def compare_gradients(found: SilkLoss, inputs: list[Tensor], case: str) -> None:
    (found.descriptor + found.keypoint).backward()  # type: ignore[no-untyped-call]
    keys = [f"grad_kp_loss_wrt_logits_{side}" for side in SIDES]
    keys += [f"grad_desc_loss_wrt_desc_{side}" for side in SIDES]
    for given_tensor, key in zip(inputs, keys, strict=True):
        expected = tensor(f"loss/{case}/{key}")
        assert given_tensor.grad is not None
        torch.testing.assert_close(given_tensor.grad, expected, rtol=0, atol=1e-6)


# ---------- recorded behaviour of the original ----------

RECORDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "block100": {},
    "block_n": {},
    "block5400": {},
    "ghost12": {"ghost": 12.0},
    "ghost12_block100": {"ghost": 12.0},
    "ghost0": {"ghost": 0.0},
    "ghost18": {"ghost": 18.0},
    "temperature1": {"temperature": 1.0},
}
WITH_GRADIENTS = ("plain", "ghost12", "temperature1")


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_values(case: str) -> None:
    options = LossOptions(**RECORDED[case])
    compare(silk_loss(*recorded_inputs("inputs"), *recorded_truth("inputs"), options), case)


@pytest.mark.parametrize("case", WITH_GRADIENTS)
def test_recorded_gradients(case: str) -> None:
    inputs, options = recorded_inputs("inputs"), LossOptions(**RECORDED[case])
    compare_gradients(silk_loss(*inputs, *recorded_truth("inputs"), options), inputs, case)


def test_recorded_gradient_of_a_ghost_that_is_learned() -> None:
    ghost = torch.tensor(12.0, requires_grad=True)
    other = LossOptions(ghost=-3.0)  # the tensor takes its place
    inputs = recorded_inputs("inputs")
    found = silk_loss(*inputs, *recorded_truth("inputs"), other, ghost)
    compare(found, "ghost12")
    compare_gradients(found, inputs, "ghost12")
    assert ghost.grad is not None
    expected = tensor("loss/ghost12/grad_desc_loss_wrt_ghost")
    torch.testing.assert_close(ghost.grad, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("item", [0, 1])
def test_recorded_items_alone(item: int) -> None:
    parts = [*recorded_inputs("inputs"), *recorded_truth("inputs")]
    compare(silk_loss(*(part[item : item + 1] for part in parts), PLAIN), f"only_item{item}")


def test_recorded_views_of_unequal_size() -> None:
    inputs = recorded_inputs("unequal_inputs")
    found = silk_loss(*inputs, *recorded_truth("unequal_inputs"), PLAIN)
    compare(found, "unequal_20x26")
    compare_gradients(found, inputs, "unequal_20x26")


def special(n_true: int) -> list[Tensor]:
    """Truth of 24 positions: the first ones lie on themselves."""
    truth = torch.full((1, 24), NONE)
    truth[:, :n_true] = torch.arange(n_true)
    return [truth, truth.clone()]


def test_recorded_half_with_a_correspondence() -> None:
    inputs = recorded_inputs("special_inputs")
    found = silk_loss(*inputs, *special(12), PLAIN)
    compare(found, "special_half")
    compare_gradients(found, inputs, "special_half")
    assert float(found.correct) == 1


def test_recorded_wrong_matches() -> None:
    logits_a, logits_b, a, _ = recorded_inputs("special_inputs")
    shifted = tensor("loss/special_inputs/desc_1_shifted")
    found = silk_loss(logits_a, logits_b, a, shifted, *special(12), PLAIN)
    compare(found, "special_half_shifted_descriptors(all matches wrong)")
    assert float(found.correct) == 0  # precision and recall do not tell


def test_recorded_equal_descriptors() -> None:
    logits_a, logits_b, *_ = recorded_inputs("special_inputs")
    equal = tensor("loss/special_inputs/desc_dup")
    found = silk_loss(logits_a, logits_b, equal, equal, *special(12), PLAIN)
    compare(found, "special_half_duplicated_descriptors")


# ---------- where the original gives NaN ----------


def test_every_position_has_a_correspondence() -> None:
    inputs = recorded_inputs("special_inputs")
    found = silk_loss(*inputs, *special(24), PLAIN)
    expected = tensor("loss/special_all_have_correspondence_no_minus_one/desc_kp_precision_recall")
    assert expected[0].isnan()
    values = torch.stack([found.keypoint, found.precision, found.recall]).detach()
    torch.testing.assert_close(values, expected[1:], rtol=1e-5, atol=1e-6)
    similarity = inputs[2][0].double() @ inputs[3][0].double().T / 0.1
    ways = [
        -each.log_softmax(dim=1).diagonal().mean().detach() for each in (similarity, similarity.T)
    ]
    assert float(found.descriptor.detach()) == pytest.approx(float(sum(ways)), rel=1e-5)


def test_no_position_has_a_correspondence() -> None:
    inputs = recorded_inputs("special_inputs")
    found = silk_loss(*inputs, *special(0), PLAIN)
    expected = recorded()["loss/special_no_correspondence/desc_kp_precision_recall"]
    assert np.isnan(expected).tolist() == [True, True, False, True]
    assert all(float(value.detach()) == 0 for value in vars(found).values())
    (found.descriptor + found.keypoint).backward()  # type: ignore[no-untyped-call]
    for each in inputs:
        assert each.grad is None or not each.grad.any()


def test_nothing_is_predicted() -> None:
    found = silk_loss(*recorded_inputs("special_inputs"), *special(12), LossOptions(ghost=25.0))
    expected = tensor("loss/special_half_ghost_above_all_similarities/desc_kp_precision_recall")
    assert expected[2].isnan()
    values = torch.stack([found.descriptor, found.keypoint, found.recall]).detach()
    torch.testing.assert_close(values, expected[[0, 1, 3]], rtol=1e-5, atol=1e-6)
    assert (float(found.precision), float(found.f1), float(found.correct)) == (0, 0, 0)


def test_an_item_without_correspondence_does_not_count() -> None:
    inputs, truth = recorded_inputs("inputs"), recorded_truth("inputs")
    blank = [torch.cat([each[:1], torch.full_like(each[:1], NONE)]) for each in truth]
    with_blank = silk_loss(*inputs, *blank, PLAIN)
    alone = silk_loss(*(each[:1] for each in inputs), *(each[:1] for each in truth), PLAIN)
    for name in ("descriptor", "keypoint", "recall", "correct", "accuracy"):
        torch.testing.assert_close(getattr(with_blank, name), getattr(alone, name))
    assert float(with_blank.precision) == pytest.approx(float(alone.precision) / 2)


# ---------- known answers ----------


def three() -> list[Tensor]:
    """Cells 0 and 1 of each side are alike, cell 2 of one side is like cell 1 of the other."""
    a = torch.tensor([[[1.0, 0], [0, 1], [0, 0.5]]])
    return [torch.tensor([[0.25, -1, 3]]), torch.tensor([[1.0, 4, 0]]), a, a.clone()]


def test_figures_of_a_pair_by_hand() -> None:
    truth = torch.tensor([[0, 2, NONE]]), torch.tensor([[0, NONE, 1]])
    found = silk_loss(*three(), *truth, LossOptions(temperature=1.0))
    # predicted: 0-0 and 1-1; true: 0-0 and 1-2
    assert float(found.precision) == 1
    assert float(found.recall) == 1
    assert float(found.correct) == 0.5
    assert float(found.accuracy) == 1  # 0.25, 1 are right and positive; -1, 0 wrong, not positive
    expected = [math.log1p(math.exp(-0.25)), math.log1p(math.exp(-1))]  # right: cells 0
    expected += [math.log1p(math.exp(-1)), math.log1p(math.exp(0))]  # wrong: cells 1 and 2
    assert float(found.keypoint) == pytest.approx(sum(expected) / 4)
    sums = [math.log(math.e + 2), math.log(1 + math.e + math.exp(0.5))]
    sums += [math.log(math.e + 2), math.log(1 + math.exp(0.5) + math.exp(0.25))]
    similarities = [1, 0.5, 1, 0.5]
    surprise = [s - t for s, t in zip(sums, similarities, strict=True)]
    assert float(found.descriptor) == pytest.approx(sum(surprise) / 2, rel=1e-6)


def test_f1_is_the_harmonic_mean() -> None:
    truth = torch.tensor([[NONE, 2, 1]]), torch.tensor([[NONE, 2, 1]])
    found = silk_loss(*three(), *truth, LossOptions(temperature=1.0))
    assert (float(found.precision), float(found.recall)) == (0.5, 0.5)
    assert float(found.f1) == pytest.approx(0.5)


def test_each_loss_teaches_its_own_head() -> None:
    truth = recorded_truth("inputs")
    for loss, taught in (("keypoint", slice(0, 2)), ("descriptor", slice(2, 4))):
        inputs = recorded_inputs("inputs")
        getattr(silk_loss(*inputs, *truth, PLAIN), loss).backward()
        reached = [each.grad is not None and bool(each.grad.any()) for each in inputs]
        assert reached == [i in range(*taught.indices(4)) for i in range(4)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu() -> None:
    cpu, gpu = recorded_inputs("inputs"), recorded_inputs("inputs")
    truth = recorded_truth("inputs")
    on_gpu = silk_loss(*(each.cuda() for each in (*gpu, *truth)), options=PLAIN)
    on_cpu = silk_loss(*cpu, *truth, PLAIN)
    for name, value in vars(on_cpu).items():
        torch.testing.assert_close(getattr(on_gpu, name).cpu(), value, rtol=1e-5, atol=1e-6)
    for found in (on_gpu, on_cpu):
        (found.descriptor + found.keypoint).backward()
    for one, other in zip(gpu, cpu, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-6)


def test_figures_have_no_gradient() -> None:
    found = silk_loss(*recorded_inputs("inputs"), *recorded_truth("inputs"), PLAIN)
    learned = {name for name, value in vars(found).items() if value.requires_grad}
    assert learned == {"descriptor", "keypoint"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0}, "recipe: temperature must be above 0, got 0.0."),
        ({"ghots": 1.0}, "recipe: unknown key `ghots`. Did you mean `ghost`?"),
        ({"ghost": "high"}, "recipe: ghost: expected float, got 'high'."),
    ],
)
def test_wrong_options_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        structure(LossOptions, values, "recipe")
    assert str(raised.value) == message


# ---------- invariants ----------


def random_pair(
    seed: int, n_a: int, n_b: int, size: int, share: float, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    """Logits, descriptors and a one-to-one truth between some of the cells."""
    generator = torch.Generator().manual_seed(seed)
    n_true = max(1, int(share * min(n_a, n_b)))
    in_a = torch.randperm(n_a, generator=generator)[:n_true]
    in_b = torch.randperm(n_b, generator=generator)[:n_true]
    to_b, to_a = torch.full((n_a,), NONE), torch.full((n_b,), NONE)
    to_b[in_a], to_a[in_b] = in_b, in_a
    a = torch.randn(n_a, size, dtype=dtype, generator=generator)
    b = torch.randn(n_b, size, dtype=dtype, generator=generator)
    b[in_b] = a[in_a] + 0.3 * b[in_b]
    unit = [1.41 * each / each.norm(dim=1, keepdim=True) for each in (a, b)]
    logits = [torch.randn(n, dtype=dtype, generator=generator) for n in (n_a, n_b)]
    return [*(each.requires_grad_() for each in (*logits, *unit)), to_b, to_a]


def batch(parts: list[Tensor]) -> list[Tensor]:
    return [part[None] for part in parts]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 9),
    st.floats(0, 1),
    st.sampled_from([0.02, 0.1, 1.0]),
    st.sampled_from([None, -1.0, 15.0]),
)
def test_as_on_the_whole_matrix(
    seed: int,
    n_a: int,
    n_b: int,
    size: int,
    share: float,
    temperature: float,
    ghost: float | None,
) -> None:
    parts = random_pair(seed, n_a, n_b, size, share, torch.float64)
    compare_with_dense(parts, LossOptions(temperature, ghost), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [4, 128])
@pytest.mark.parametrize("ghost", [None, 12.0])
def test_as_on_the_whole_matrix_in_float32(size: int, ghost: float | None) -> None:
    parts = random_pair(0, 300, 260, size, 0.5)
    compare_with_dense(parts, LossOptions(ghost=ghost), rtol=1e-5, atol=1e-6)


def compare_with_dense(parts: list[Tensor], options: LossOptions, rtol: float, atol: float) -> None:
    found = silk_loss(*batch(parts), options)
    ghost = None if options.ghost is None else torch.tensor(options.ghost)
    expected = dense_losses(*parts, options.temperature, ghost)
    torch.testing.assert_close(found.descriptor, expected[0], rtol=rtol, atol=atol)
    torch.testing.assert_close(found.keypoint, expected[1], rtol=rtol, atol=atol)
    gradients = torch.autograd.grad(found.descriptor + found.keypoint, parts[:4])
    wanted = torch.autograd.grad(expected[0] + expected[1], parts[:4])
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want, rtol=rtol, atol=atol)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 60))
def test_order_of_cells_and_of_views_does_not_matter(seed: int, n: int) -> None:
    logits_a, logits_b, a, b, to_b, to_a = random_pair(seed, n, n + 3, 6, 0.5)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    moved = torch.argsort(order)
    first = silk_loss(*batch([logits_a, logits_b, a, b, to_b, to_a]), PLAIN)
    to_a_moved = torch.where(to_a == NONE, NONE, moved[to_a.clamp(min=0)])
    parts = [logits_a[order], logits_b, a[order], b, to_b[order], to_a_moved]
    shuffled = silk_loss(*batch(parts), PLAIN)
    swapped = silk_loss(*batch([logits_b, logits_a, b, a, to_a, to_b]), PLAIN)
    for name, value in vars(first).items():
        torch.testing.assert_close(getattr(shuffled, name), value)
        if name not in ("precision", "recall", "f1"):  # those are of side a
            torch.testing.assert_close(getattr(swapped, name), value)

import math

import pytest
import torch
from photo_files import blob_stack
from small_training import small_training

from silk_sfm.errors import ConfigError
from silk_sfm.nn.architecture import ARCHITECTURES
from silk_sfm.nn.silk import SilkNetwork
from silk_sfm.training.learner import Learner, learning_rate, mixed
from silk_sfm.training.losses import LossOptions
from silk_sfm.training.processes import Process
from silk_sfm.training.recipe import ScheduleOptions
from silk_sfm.training.silk import SilkMethod, SilkTraining, cell_matches

STACK = blob_stack(2)
SHARES = torch.ones(2)


def learner(training: SilkTraining | None = None, rank: int = 0) -> Learner:
    torch.manual_seed(0)
    network = SilkNetwork(ARCHITECTURES["pvgg-micro"])
    chosen = training or small_training()
    return Learner(network, SilkMethod(network, LossOptions()), chosen, Process(rank))


def test_steps_lower_the_loss_on_the_pairs_they_learn_from() -> None:
    training = small_training(learning_rate=3e-3, photometric="none", decay="none")
    taught = learner(training)
    first = float(taught.step(0, STACK, SHARES)["loss"])
    for _ in range(15):
        last = float(taught.step(0, STACK, SHARES)["loss"])
    assert last < 0.8 * first


def test_the_same_iteration_draws_the_same_views_whatever_came_before() -> None:
    taught, other = learner(), learner()
    taught.step(0, STACK, SHARES)
    one, same = (who.batch(5, STACK, SHARES, 16) for who in (taught, other))
    assert torch.equal(one.a, same.a) and torch.equal(one.b, same.b)
    assert one.a.shape == (1, 1, 22, 22)
    for different in (
        taught.batch(6, STACK, SHARES, 16),
        learner(rank=1).batch(5, STACK, SHARES, 16),
    ):
        assert not torch.equal(one.a, different.a)


def test_validation_is_the_same_each_time_in_each_process_and_changes_nothing() -> None:
    taught = learner()
    before = {name: value.clone() for name, value in taught.network.state_dict().items()}
    figures = taught.validate(STACK, SHARES)
    assert figures == taught.validate(STACK, SHARES) == learner(rank=3).validate(STACK, SHARES)
    assert all(
        torch.equal(before[name], value) for name, value in taught.network.state_dict().items()
    )
    assert set(figures) >= {"loss", "descriptor", "keypoint", "f1", "correct"}
    taught.step(0, STACK, SHARES)
    assert taught.validate(STACK, SHARES) != figures


def test_bfloat16_learns_nearly_the_same() -> None:
    exact = learner().step(0, STACK, SHARES)
    rough = learner(small_training(arithmetic="bfloat16")).step(0, STACK, SHARES)
    assert rough["loss"].dtype == torch.float32
    assert float(rough["loss"]) == pytest.approx(float(exact["loss"]), rel=0.03)
    assert float(rough["loss"]) != float(exact["loss"])


def test_the_learning_rate_rises_and_falls() -> None:
    schedule = ScheduleOptions(iterations=110, learning_rate=1.0, warmup=10, decay="cosine")
    rates = [learning_rate(schedule, at) for at in (0, 4, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.505, 0.01])
    constant = ScheduleOptions(learning_rate=2.0)
    assert {learning_rate(constant, at) for at in (0, 99_999)} == {2.0}


def test_the_last_tenth_may_have_larger_views() -> None:
    schedule = ScheduleOptions(iterations=100, cells=16, last_cells=32)
    assert [schedule.cells_at(at) for at in (0, 89, 90, 99)] == [16, 16, 32, 32]
    assert ScheduleOptions(cells=16).cells_at(99_999) == 16


def test_seeds_differ_for_neighbouring_numbers() -> None:
    seeds = {mixed(a, b, c) for a in range(10) for b in range(20) for c in range(5)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_cells_of_a_shifted_view() -> None:
    """With a margin, cells lie on the pixels that they are named after."""
    shift = torch.eye(3, dtype=torch.float64)[None]
    shift[0, 0, 2], shift[0, 1, 2] = 2, -1
    to_b, to_a = cell_matches(shift, 9, (4, 5))
    grid = to_b.reshape(4, 5)
    assert grid[0].tolist() == [-1] * 5
    assert grid[1].tolist() == [2, 3, 4, -1, -1]
    assert to_a.reshape(4, 5)[0].tolist() == [-1, -1, 5, 6, 7]
    magnified = torch.diag(torch.tensor([2.0, 2, 1], dtype=torch.float64))[None]
    about_the_margin, _ = cell_matches(magnified, 0, (4, 4))
    moved, _ = cell_matches(magnified, 3, (4, 4))  # cell 0 is pixel 3, which comes to lie on 6
    assert about_the_margin[0, 0] == 0 and moved.reshape(4, 4)[0, 0] == 3 * 4 + 3


def test_a_view_has_a_margin_only_without_padding() -> None:
    for padding, margin in ((0, 3), (1, 0)):
        network = SilkNetwork(ARCHITECTURES["pvgg-micro"], padding)
        assert SilkMethod(network, LossOptions()).margin == margin
    assert not math.isnan(float(learner().step(0, STACK, SHARES)["loss"]))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("iterations", 0, "iterations must be at least 1, got 0."),
        ("learning_rate", 0.0, "learning-rate must be above 0, got 0.0."),
        ("warmup", -1, "warmup must be at least 0, got -1."),
        ("minutes", -1.0, "minutes must be at least 0, got -1.0."),
        ("save_seconds", -1.0, "save-seconds must be at least 0, got -1.0."),
    ],
)
def test_schedules_that_make_no_sense_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ScheduleOptions(**{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == message

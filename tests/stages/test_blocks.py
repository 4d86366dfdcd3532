"""Pairs in blocks: every pair once, few readings, never more memory than allowed."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silk_sfm.errors import ConfigError
from silk_sfm.stages.blocks import Pair, Upcoming, in_blocks, memory_limit

NAMES = [f"{i:02d}" for i in range(12)]
ALL_PAIRS = list(combinations(NAMES, 2))
MEGABYTE = 1_000_000


def n_readings(pairs: list[Pair], limit: int, size: int = MEGABYTE) -> tuple[int, int]:
    """How many images are read for the pairs in blocks, and the most bytes kept at a time."""
    ordered = in_blocks(pairs, {name: size for pair in pairs for name in pair}, limit)
    upcoming = Upcoming((n for pair in ordered for n in pair), str, lambda _: size, limit)
    most = 0
    for pair in ordered:
        for name in pair:
            assert upcoming.take(name) == name
            most = max(most, upcoming.n_bytes)
    assert upcoming.n_bytes == 0  # nothing is kept that is not needed again
    return upcoming.n_read, most


def test_all_in_memory_is_read_once() -> None:
    assert n_readings(ALL_PAIRS, 20 * MEGABYTE) == (12, 11 * MEGABYTE)


def test_blocks_of_four() -> None:
    """12 images; the blocks 0-3, 4-7, 8-11 need 12 + 8 + 4 readings, less what is still there."""
    n_read, most = n_readings(ALL_PAIRS, 6 * MEGABYTE)
    assert n_read <= 24
    assert most <= 6 * MEGABYTE
    one_after_the_other = Upcoming(
        (name for pair in ALL_PAIRS for name in pair), str, lambda _: MEGABYTE, 6 * MEGABYTE
    )
    for pair in ALL_PAIRS:
        for name in pair:
            one_after_the_other.take(name)
    assert one_after_the_other.n_read > 1.5 * n_read  # the order is worth it


def test_a_limit_below_one_image_still_works() -> None:
    n_read, most = n_readings(ALL_PAIRS, 10)
    assert n_read <= 2 * len(ALL_PAIRS)
    assert most <= 2 * MEGABYTE


def test_neighbours_are_read_about_once() -> None:
    names = [f"{i:04d}" for i in range(400)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 : i + 6]]
    n_read, _ = n_readings(pairs, 40 * MEGABYTE)
    assert n_read <= 1.2 * len(names)


@given(st.sets(st.sampled_from(ALL_PAIRS)), st.integers(1, 15), st.randoms())
def test_every_pair_once_in_its_own_order(pairs: set[Pair], room: int, shuffle: object) -> None:
    given_pairs = sorted(pairs)
    shuffle.shuffle(given_pairs)  # type: ignore[attr-defined]
    turned = [pair[::-1] if i % 2 else pair for i, pair in enumerate(given_pairs)]
    sizes = dict.fromkeys(NAMES, MEGABYTE)
    ordered = in_blocks(turned, sizes, room * MEGABYTE)
    assert sorted(ordered) == sorted(turned)
    assert in_blocks(turned, sizes, room * MEGABYTE) == ordered
    n_read, most = n_readings(turned, room * MEGABYTE)
    assert n_read >= len({name for pair in turned for name in pair})
    assert most <= max(room, 2) * MEGABYTE


def test_what_is_needed_last_goes_first() -> None:
    upcoming = Upcoming("abcabdc", str.upper, lambda _: 1, limit=2)
    assert [upcoming.take(name) for name in "abcabdc"] == list("ABCABDC")
    assert upcoming.n_read == 5  # c makes room for a and b by going itself; OPT of this sequence


def test_nothing() -> None:
    assert in_blocks([], {}, 5) == []


def test_memory_limit() -> None:
    assert memory_limit(1.5) == 3 * 2**29
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"memory_gb must be above 0, got"):
            memory_limit(wrong)

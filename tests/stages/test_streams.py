import threading
from collections.abc import Iterator

import pytest

from silk_sfm.errors import ImageError, StoreError
from silk_sfm.stages.report import Costs, Skipped, StageReport
from silk_sfm.stages.streams import WriteBehind, in_threads


def test_results_come_in_order() -> None:
    first_may_end = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            first_may_end.wait()
        else:
            first_may_end.set()
        return item * item

    assert list(in_threads(work, range(6), 2, ahead=3)) == [(i, i * i) for i in range(6)]


def test_at_most_so_many_are_read_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    results = in_threads(str, items(), 2, ahead=3)
    assert next(results) == (0, "0")
    assert taken == [0, 1, 2, 3]
    results.close()


def test_our_errors_are_results_and_others_are_raised() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise ImageError("bad photo")
        if item == 3:
            raise ZeroDivisionError
        return item

    results = in_threads(work, range(5), 2, ahead=1)
    assert next(results) == (0, 0)
    item, error = next(results)
    assert item == 1
    assert isinstance(error, ImageError)
    assert next(results) == (2, 2)
    with pytest.raises(ZeroDivisionError):
        next(results)


class Memory:
    """A store that keeps everything, or refuses one key."""

    def __init__(self, refused: str = "") -> None:
        self.kept: dict[str, int] = {}
        self.refused = refused
        self.flushed = threading.Event()

    def add(self, key: str, value: int) -> None:
        if key == self.refused:
            raise StoreError("The disk is full")
        self.kept[key] = value

    def flush(self) -> None:
        self.flushed.set()


def test_everything_is_written_before_the_block_ends() -> None:
    store = Memory()
    with WriteBehind[int](store) as behind:
        for index in range(50):
            behind.add(str(index), index)
    assert store.kept == {str(index): index for index in range(50)}


def test_an_error_of_the_store_reaches_the_one_who_adds() -> None:
    store = Memory(refused="3")
    with pytest.raises(StoreError, match="The disk is full"), WriteBehind[int](store) as behind:
        for index in range(50):
            behind.add(str(index), index)
    assert sorted(store.kept) == ["0", "1", "2"]


def test_a_pause_saves() -> None:
    store = Memory()
    with WriteBehind[int](store) as behind:
        behind.add("a", 1)
        assert store.flushed.wait(timeout=30)


def test_summary_line() -> None:
    report = StageReport("extract", "images", 3, 2, 300, "keypoints", (Skipped("a.jpg", "empty"),))
    assert str(report) == (
        "extract: 5 images, 2 of them reused, 300 keypoints (100 each), 1 skipped"
    )
    assert str(StageReport("match", "pairs", 0, 4, 0, "matches")) == (
        "match: 4 pairs, 4 of them reused"
    )


def test_costs() -> None:
    costs = Costs()
    with costs.measured("extract"):
        block = bytearray(60 * 2**20)
    assert costs.stages["extract"]["seconds"] >= 0
    assert costs.stages["extract"]["peak_memory_mb"] > len(block) / 2**20

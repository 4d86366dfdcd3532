import threading

import pytest
import torch

from silk_sfm.nn.workers import as_many_workers, torch_threads, worker_count


@pytest.mark.parametrize(
    ("n_threads", "most", "count", "each"),
    [(1, None, 1, 1), (4, None, 4, 1), (4, 2, 2, 2), (9, 4, 4, 2), (3, 8, 3, 1), (4, 1, 1, 4)],
)
def test_threads_are_shared_out(n_threads: int, most: int | None, count: int, each: int) -> None:
    together = threading.Barrier(count)

    def work(_: int) -> tuple[str, int]:
        together.wait(timeout=60)  # all at the same time
        return threading.current_thread().name, torch.get_num_threads()

    with torch_threads(n_threads):
        with as_many_workers(most) as workers:
            assert workers.count == count
            names, threads = zip(*workers.map(work, range(count)), strict=True)
        assert torch.get_num_threads() == n_threads
    assert len(set(names)) == count
    assert set(threads) == {each}


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_order_and_errors_out(count: int) -> None:
    def check(item: int) -> int:
        if item == 7:
            raise ValueError("seven")
        return -item

    with torch_threads(count), as_many_workers() as workers:
        assert workers.map(check, range(5)) == [0, -1, -2, -3, -4]
        with pytest.raises(ValueError, match="^seven$"):
            workers.map(check, [6, 7])


@pytest.mark.parametrize("inference", [True, False])
def test_workers_share_the_mode_of_the_caller(inference: bool) -> None:
    with torch.inference_mode(inference), torch_threads(2), as_many_workers() as workers:
        assert workers.map(lambda _: torch.is_inference_mode_enabled(), [0, 1]) == [inference] * 2


def test_within_a_worker_there_are_no_others() -> None:
    def work(_: int) -> tuple[int, int, int]:
        with as_many_workers() as inner:
            counts = inner.map(lambda _: torch.get_num_threads(), range(3))
            return inner.count, *set(counts)  # type: ignore[return-value]

    for _ in range(20):
        with torch_threads(16), as_many_workers(8) as workers:
            assert set(workers.map(work, range(16))) == {(1, 2)}
    with torch_threads(3), as_many_workers() as workers:
        assert workers.count == 3, "the caller is no worker"


def test_few_threads_have_no_work() -> None:
    counts = {}
    for n_threads in range(1, 65):
        with torch_threads(n_threads):
            counts[n_threads] = worker_count(8)
    assert [counts[n] for n in (1, 2, 7, 8, 9, 12, 15, 16, 64)] == [1, 2, 7, 8, 8, 6, 5, 8, 8]
    assert all(n % count <= max(1, n // 8) for n, count in counts.items())
    assert all(count >= min(n, 5) for n, count in counts.items())

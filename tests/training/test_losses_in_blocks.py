"""`log_sums`: many blocks, several threads, large similarities, memory."""

import threading
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from silk_sfm.matching.dense import dense_mutual_nearest
from silk_sfm.nn.workers import torch_threads
from silk_sfm.training import log_sums as module
from silk_sfm.training import similarity_blocks
from silk_sfm.training.log_sums import log_sums
from silk_sfm.training.similarity_blocks import Side, first_largest, product

DOUBLE = torch.float64


def random_sides(
    seed: int, n_a: int, n_b: int, length: float = 2.0, dtype: torch.dtype = DOUBLE
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(n, 5, dtype=DOUBLE, generator=generator) for n in (n_a, n_b))
    a, b = (length * each / each.norm(dim=1, keepdim=True) for each in (a, b))
    return a.to(dtype).requires_grad_(), b.to(dtype).requires_grad_()


def some(seed: int, n: int, share: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, generator=generator) < share).nonzero().squeeze(1)


def compare(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor, rtol: float = 1e-10) -> None:
    """Values, gradients for random weights, and the mutual largest entries."""
    found = log_sums(a, b, rows, columns)
    matrix = a @ b.T
    by_rows, by_columns = matrix.logsumexp(dim=1)[rows], matrix.logsumexp(dim=0)[columns]
    torch.testing.assert_close(found.rows, by_rows.double(), rtol=rtol, atol=rtol)
    torch.testing.assert_close(found.columns, by_columns.double(), rtol=rtol, atol=rtol)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.rand(len(each), dtype=DOUBLE, generator=generator) for each in (rows, columns)]
    loss = found.rows @ weights[0] + found.columns @ weights[1]
    dense_loss = by_rows.double() @ weights[0] + by_columns.double() @ weights[1]
    gradients = torch.autograd.grad(loss, [a, b])
    wanted = torch.autograd.grad(dense_loss, [a, b])
    for gradient, want in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, want, rtol=rtol, atol=rtol)
    expected = dense_mutual_nearest(a, b)
    order = found.pairs.rows.argsort()
    assert torch.equal(found.pairs.rows[order], expected.rows)
    assert torch.equal(found.pairs.columns[order], expected.columns)
    torch.testing.assert_close(found.pairs.values[order], expected.values, rtol=rtol, atol=rtol)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Small matrices are shared among threads, too."""
    monkeypatch.setattr(module, "FEWEST_FOR_THREADS", 0)
    with torch_threads(request.param):
        yield request.param


@pytest.mark.parametrize("length", [2.0, 10.0])  # 2 ** 144 is no float32 number
@pytest.mark.parametrize("block", [(4, 3), (3, 5), (7, 64), (64, 40), (1000, 1000)])
@pytest.mark.parametrize("shares", [(0.5, 0.6), (1.0, 1.0), (0.0, 0.3), (0.4, 0.0), (0.0, 0.0)])
def test_any_cut_into_blocks(
    threads: int,
    length: float,
    block: tuple[int, int],
    shares: tuple[float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CPU_BLOCK", block)
    a, b = random_sides(0, 37, 53, length)
    compare(a, b, some(1, 37, shares[0]), some(2, 53, shares[1]))


@pytest.mark.parametrize("length", [2.0, 10.0])
def test_float32_in_blocks(length: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_BLOCK", (32, 100))
    a, b = random_sides(0, 150, 310, length, torch.float32)
    compare(a, b, some(1, 150, 0.5), some(2, 310, 0.5), rtol=2e-5)


@pytest.mark.parametrize("length", [2.0, 10.0])
def test_gradient_by_differences(length: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_BLOCK", (3, 4))
    a, b = random_sides(0, 7, 9, length)
    rows, columns = some(1, 7, 0.5), some(2, 9, 0.5)

    def sums(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        found = log_sums(a, b, rows, columns)
        return found.rows, found.columns

    assert torch.autograd.gradcheck(sums, (a, b))


def test_a_graph_may_be_used_twice() -> None:
    a, b = random_sides(0, 20, 30)
    found = log_sums(a, b, torch.arange(20), torch.arange(30))
    loss = found.rows.sum() + found.columns.sum()
    first = torch.autograd.grad(loss, a, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(loss, a)[0])


def test_no_second_derivative() -> None:
    a, b = random_sides(0, 20, 30)
    sums = log_sums(a, b, torch.arange(20), torch.arange(30)).rows.sum()
    (gradient,) = torch.autograd.grad(sums.square(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("length", [1e-3, 2.0, 8.9, 9.0, 30.0])
def test_similarities_of_any_size_in_float32(length: float) -> None:
    a, b = random_sides(3, 200, 200, length, torch.float32)
    everything = torch.arange(200)
    found = log_sums(a, b, everything, everything)
    expected = (a.double() @ b.double().T).logsumexp(dim=1)
    torch.testing.assert_close(found.rows, expected, rtol=1e-6, atol=1e-6)
    (found.rows.sum() + found.columns.sum()).backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_nan_is_not_hidden() -> None:
    a, b = random_sides(0, 20, 30, dtype=torch.float32)
    a.data[3, 2] = torch.nan
    found = log_sums(a, b, torch.arange(20), torch.arange(30))
    assert found.rows.isnan().nonzero().tolist() == [[3]]
    assert found.columns.isnan().all()


@pytest.mark.parametrize(("n_a", "n_b"), [(0, 4), (4, 0), (0, 0)])
def test_no_rows_or_no_columns(n_a: int, n_b: int) -> None:
    a, b = (torch.zeros(n, 3, requires_grad=True) for n in (n_a, n_b))
    none = torch.zeros(0, dtype=torch.int64)
    found = log_sums(a, b, none, none)
    assert (len(found.rows), len(found.columns), len(found.pairs.rows)) == (0, 0, 0)


def test_the_same_numbers_in_every_run(threads: int) -> None:
    a, b = random_sides(0, 700, 900, dtype=torch.float32)
    runs = []
    for _ in range(3):
        found = log_sums(a, b, some(1, 700, 0.5), some(2, 900, 0.5))
        loss = found.rows.sum() + found.columns.sum()
        runs.append([found.rows, found.columns, *torch.autograd.grad(loss, [a, b])])
    assert all(torch.equal(*pair) for run in runs[1:] for pair in zip(runs[0], run, strict=True))


def test_threads_end_with_the_work(threads: int) -> None:
    before = threading.active_count()
    a, b = random_sides(0, 60, 60)
    log_sums(a, b, torch.arange(60), torch.arange(60)).rows.sum().backward()
    assert threading.active_count() == before


class Largest(TorchDispatchMode):
    """Remembers the number of entries of the largest tensor that any operation returned."""

    entries = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor):
                self.entries = max(self.entries, each.numel())
        return result


def test_no_tensor_is_as_large_as_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    n, block = 1500, (64, 256)
    monkeypatch.setattr(module, "CPU_BLOCK", block)
    a, b = random_sides(0, n, n, dtype=torch.float32)
    with torch_threads(1), Largest() as largest:
        log_sums(a, b, some(1, n, 0.1), some(2, n, 0.1)).rows.sum().backward()
    assert 10_000 < largest.entries <= block[0] * block[1] < n * n / 100


# ---------- pieces ----------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 200), st.integers(0, 2**31))
def test_first_of_the_largest_in_each_row(n_rows: int, n_columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(0, 4, (n_rows, n_columns), generator=generator).float()
    values, columns = first_largest(block)
    expected = block.numpy()
    assert values.tolist() == expected.max(axis=1).tolist()
    assert columns.tolist() == expected.argmax(axis=1).tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 70), st.integers(1, 4))
def test_spans_cover_a_side_once(n_summed: int, n_others: int, size: int, multiple: int) -> None:
    side = Side(n_summed + n_others, n_summed)
    spans = side.spans(size, multiple)
    assert [i for span in spans for i in range(span.start, span.stop)] == list(range(side.n))
    for span in spans:
        assert span.stop - span.start <= size
        assert side.sums(span) == (span.stop <= n_summed)
    n_summed_spans = sum(map(side.sums, spans))
    for n_spans, n in ((n_summed_spans, n_summed), (len(spans) - n_summed_spans, n_others)):
        assert n_spans % multiple == 0 or n_spans == n


@pytest.mark.parametrize("has_onednn", [True, False])
def test_product(has_onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    available = similarity_blocks.has_onednn()
    monkeypatch.setattr(similarity_blocks, "has_onednn", lambda: has_onednn and available)
    a, b = (each.detach().float() for each in random_sides(0, 12, 7))
    torch.testing.assert_close(product(a, b.T.contiguous()), (a.double() @ b.double().T).float())

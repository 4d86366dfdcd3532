import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silk_sfm.errors import PairError
from silk_sfm.pairs import PairList

NAMES = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]


def test_unique_keeps_the_first_of_each_pair() -> None:
    pairs = [("b", "a"), ("a", "b"), ("a", "c"), ("b", "a")]
    assert PairList.unique(pairs).pairs == (("b", "a"), ("a", "c"))
    assert PairList.unique([]).pairs == ()


def test_exhaustive() -> None:
    pairs = PairList.exhaustive(NAMES[:3])
    assert list(pairs) == [("a.jpg", "b.jpg"), ("a.jpg", "c.jpg"), ("b.jpg", "c.jpg")]
    assert len(PairList.exhaustive([])) == len(PairList.exhaustive(["a"])) == 0


def test_sequential_window() -> None:
    assert list(PairList.sequential(NAMES[:4], window=2)) == [
        ("a.jpg", "b.jpg"),
        ("a.jpg", "c.jpg"),
        ("b.jpg", "c.jpg"),
        ("b.jpg", "d.jpg"),
        ("c.jpg", "d.jpg"),
    ]


def test_sequential_closes_loops() -> None:
    names = [f"{i:02d}" for i in range(20)]
    pairs = set(PairList.sequential(names, window=1, loop_every=10, loop_window=1))
    assert {("00", "10"), ("00", "09"), ("00", "11"), ("01", "10"), ("00", "01")} <= pairs
    assert ("00", "15") not in pairs


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 30), st.integers(1, 8), st.integers(0, 6), st.integers(0, 3))
def test_sequential_is_part_of_exhaustive(
    n: int, window: int, loop_every: int, loop_window: int
) -> None:
    names = [f"{i:03d}" for i in range(n)]
    pairs = list(PairList.sequential(names, window, loop_every, loop_window))
    assert len(pairs) == len(set(pairs))
    assert set(pairs) <= set(PairList.exhaustive(names))
    assert set(itertools.pairwise(names)) <= set(pairs)


def test_round_trip_as_hloc_writes(tmp_path: Path) -> None:
    pairs = PairList((("a.jpg", "b.jpg"), ("sub/c d.jpg", "ü e.jpg")))
    pairs.write(tmp_path / "pairs.txt")
    text = (tmp_path / "pairs.txt").read_text(encoding="utf-8")
    assert text == "a.jpg b.jpg\nsub/c d.jpg\tü e.jpg\n"
    assert PairList.read(tmp_path / "pairs.txt") == pairs


def test_names_with_spaces_as_hloc_writes_them(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("my photo.jpg other one.jpg")
    known = {"my photo.jpg", "other one.jpg"}
    assert list(PairList.read(tmp_path / "pairs.txt", known)) == [("my photo.jpg", "other one.jpg")]


def test_faults_are_reported_by_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("# mine\na.jpg b.jpg\n\na.jpg x.jpg\nb.jpg b.jpg\nb.jpg a.jpg\nalone\n")
    with pytest.raises(PairError) as caught:
        PairList.read(path, known=NAMES)
    assert str(caught.value) == (
        f"Pair list {path}: line 4: no image `x.jpg`; line 5: `b.jpg` is paired with itself; "
        "line 6: `b.jpg` and `a.jpg` are already paired in line 2; line 7: `alone` is no pair (two "
        "names; a tab between names that hold spaces). Correct these lines."
    )


def test_many_faults_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("".join(f"x{i} y{i}\n" for i in range(9)))
    with pytest.raises(PairError, match="line 5: no image `x4`; and 4 more"):
        PairList.read(path, known=NAMES)


def test_missing_and_binary_lists(tmp_path: Path) -> None:
    with pytest.raises(PairError, match=r"No pair list .*none.txt. Make one with `silk-sfm pairs`"):
        PairList.read(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PairError, match="is no UTF-8 text"):
        PairList.read(tmp_path / "binary.txt")


def test_among_takes_either_order() -> None:
    chosen = PairList((("a", "b"), ("c", "d")))
    assert chosen.among([("b", "a"), ("a", "c"), ("c", "d")]) == [("b", "a"), ("c", "d")]

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silk_sfm.errors import PairError
from silk_sfm.pair_rows import all_rows, anchor_rows, joined_rows, listed_rows, sequential_rows
from silk_sfm.pairs import PairList, check_is_list, list_bytes, write_rows

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


def test_names_that_look_like_comments(tmp_path: Path) -> None:
    names, path = ["#1.jpg", "#2.jpg", "a.jpg"], tmp_path / "p.txt"
    PairList.exhaustive(names).write(path)
    assert list(PairList.read(path, names)) == list(PairList.exhaustive(names))
    path.write_text("#a.jpg #1.jpg\n# by hand\n#1.jpg none.jpg\n")
    with pytest.raises(PairError, match=r": line 3: no image `none\.jpg`\. Correct"):
        PairList.read(path, names)


def test_among_takes_either_order() -> None:
    chosen = PairList((("a", "b"), ("c", "d")))
    assert chosen.among([("b", "a"), ("a", "c"), ("c", "d")]) == [("b", "a"), ("c", "d")]


@pytest.mark.parametrize("names", [NAMES, ["a b.jpg", "c.jpg", "d\te.jpg", "ü.jpg", "x", "y"]])
def test_rows_are_written_as_lists_are(tmp_path: Path, names: list[str]) -> None:
    rows = joined_rows([sequential_rows(6, 1), anchor_rows(6, 2, 1)])
    pairs = PairList.of_rows(names, rows)
    pairs.write(tmp_path / "list.txt")
    assert write_rows(tmp_path / "rows.txt", names, rows) == len(pairs)
    assert (tmp_path / "rows.txt").read_bytes() == (tmp_path / "list.txt").read_bytes()


def test_no_pairs_leave_the_older_list(tmp_path: Path) -> None:
    PairList.exhaustive(NAMES).write(tmp_path / "p.txt")
    before = (tmp_path / "p.txt").read_bytes()
    none = listed_rows(6, np.zeros((0, 2), np.int64))
    with pytest.raises(PairError, match=r"^No pairs from 6 images\. Pair them in a wider way\.$"):
        write_rows(tmp_path / "p.txt", NAMES, none)
    with pytest.raises(PairError, match=r"^No pairs from 1 images\. Give at least two images\.$"):
        write_rows(tmp_path / "p.txt", NAMES[:1], sequential_rows(1, 1))
    assert (tmp_path / "p.txt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["p.txt"]


def test_size_of_a_list(tmp_path: Path) -> None:
    n_pairs = write_rows(tmp_path / "p.txt", NAMES, all_rows(len(NAMES)))
    assert list_bytes(NAMES, n_pairs) == (tmp_path / "p.txt").stat().st_size


def test_another_file_is_not_taken_for_a_list(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("# mine\n\na.jpg b.jpg\nnotes\n")
    with pytest.raises(PairError) as caught:
        check_is_list(path)
    assert str(caught.value) == (
        f"{path} is no pair list (line 4: `notes`). Choose another file, or --overwrite it."
    )
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PairError, match=r"is no UTF-8 text \(byte 0\)\.$"):
        check_is_list(path)
    path.write_text("a.jpg b.jpg\n" * 2000)
    check_is_list(path)

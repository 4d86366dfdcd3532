"""Lists of image pairs: building, reading and writing them as hloc does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from silk_sfm.errors import PairError
from silk_sfm.files import whole_file
from silk_sfm.pair_rows import PairRows, all_rows, anchor_rows, joined_rows, sequential_rows

MAX_REPORTED = 5
MOST_CHECKED = 1000
"""Lines of an older file that are looked at before it is replaced."""


@dataclass(frozen=True)
class PairList:
    """Pairs of image names in the order in which they are matched; each pair once, in one order."""

    pairs: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    @property
    def names(self) -> list[str]:
        """Names that occur in a pair, sorted."""
        return sorted({name for pair in self.pairs for name in pair})

    def among(self, stored: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the `stored` pairs that are in this list, in either order."""
        wanted = {frozenset(pair) for pair in self.pairs}
        return [pair for pair in stored if frozenset(pair) in wanted]

    @staticmethod
    def unique(pairs: Iterable[tuple[str, str]]) -> PairList:
        """The pairs in their order, without those that were there before in either order."""
        found: dict[frozenset[str], tuple[str, str]] = {}
        for pair in pairs:
            found.setdefault(frozenset(pair), pair)
        return PairList(tuple(found.values()))

    @staticmethod
    def of_rows(names: Sequence[str], rows: PairRows) -> PairList:
        """The pairs that `rows` counts, by the names of the images."""
        return PairList(tuple((names[i], names[j]) for i, j in rows.indices()))

    @staticmethod
    def exhaustive(names: Sequence[str]) -> PairList:
        """Every image with every other: N (N - 1) / 2 pairs."""
        return PairList.of_rows(names, all_rows(len(names)))

    @staticmethod
    def sequential(
        names: Sequence[str], window: int, loop_every: int = 0, loop_window: int = 0
    ) -> PairList:
        """Each image with the `window` next ones; loops are closed between every `loop_every`-th.

        Of the images 0, loop_every, 2 loop_every, ... each is also paired with all others of them
        and with `loop_window` neighbours on both sides of those.
        """
        if window < 1 or loop_every < 0 or loop_window < 0:
            raise PairError(
                f"Sequential pairs need window >= 1, loop_every >= 0 and loop_window >= 0, "
                f"got {window}, {loop_every} and {loop_window}."
            )
        parts = [sequential_rows(len(names), window)]
        if loop_every:
            parts.append(anchor_rows(len(names), loop_every, loop_window))
        return PairList.of_rows(names, joined_rows(parts))

    @staticmethod
    def read(path: Path, known: Collection[str] | None = None) -> PairList:
        """Read `a b` per line; a tab separates names that hold spaces.

        `known`: image names; a pair with another name is an error. Empty lines and lines that
        start with # (unless a known name does) are passed over. Raises PairError that lists the
        faulty lines: unknown names, an image with itself, a pair given twice (in either order).
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise PairError(f"No pair list {path}. Make one with `silk-sfm pairs`.") from None
        except UnicodeDecodeError as error:
            raise PairError(f"Pair list {path} is no UTF-8 text (byte {error.start}).") from error
        pairs: dict[tuple[str, str], int] = {}
        faults: list[str] = []
        for number, line in enumerate(text.splitlines(), start=1):
            pair = _split(line, known)
            if not line.strip() or (line.startswith("#") and not _is_first(pair, known)):
                continue
            fault = _fault(pair, line, pairs, known)
            if fault or pair is None:
                faults.append(f"line {number}: {fault}")
            else:
                pairs[pair] = number
        if faults:
            more = len(faults) - MAX_REPORTED
            listed = "; ".join(faults[:MAX_REPORTED]) + (f"; and {more} more" if more > 0 else "")
            raise PairError(f"Pair list {path}: {listed}. Correct these lines.")
        return PairList(tuple(pairs))

    def write(self, path: Path) -> None:
        """Write `a b` per line as hloc does, with a tab where a name holds a space.

        Raises PairError when the file cannot be written.
        """
        _write_lines(path, (f"{_joined(*pair)}\n" for pair in self.pairs))


def write_rows(path: Path, names: Sequence[str], rows: PairRows) -> int:
    """Write pairs as `PairList.write` does, row by row, and return how many.

    No more than one row is in memory. Raises PairError when there is no pair, or when the file
    cannot be written; then an older file stays.
    """
    n_pairs = 0
    spaced = any(_is_spaced(name) for name in names)

    def lines() -> Iterator[str]:
        nonlocal n_pairs
        for i, row in enumerate(rows):
            n_pairs += len(row)
            others = [names[j] for j in row.tolist()]
            if spaced:
                yield "".join(f"{_joined(names[i], other)}\n" for other in others)
            elif others:
                yield f"{names[i]} " + f"\n{names[i]} ".join(others) + "\n"
        if n_pairs == 0:
            raise PairError(no_pairs_text(names))

    _write_lines(path, lines())
    return n_pairs


def no_pairs_text(names: Sequence[str]) -> str:
    """Why a list is empty, and what to do."""
    what_to_do = "Pair them in a wider way" if len(names) > 1 else "Give at least two images"
    return f"No pairs from {len(names)} images. {what_to_do}."


def list_bytes(names: Sequence[str], n_pairs: int) -> int:
    """How large a list of `n_pairs` pairs will be, about: two names of mean length a line."""
    mean = sum(len(name.encode()) for name in names) / max(len(names), 1)
    return round(n_pairs * 2 * (mean + 1))


def check_is_list(path: Path) -> None:
    """Raises PairError unless the file begins like a pair list, so that no other one is lost."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(islice(file, MOST_CHECKED), start=1):
                if line.strip() and not line.startswith("#") and len(line.split()) < 2:
                    raise PairError(
                        f"{path} is no pair list (line {number}: `{line.strip()}`). Choose "
                        "another file, or --overwrite it."
                    )
    except UnicodeDecodeError as error:
        raise PairError(f"Pair list {path} is no UTF-8 text (byte {error.start}).") from error


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    try:
        with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise PairError(
            f"Cannot write the pair list {path}: {error.strerror}. Choose another file."
        ) from error


def _joined(a: str, b: str) -> str:
    return f"{a}\t{b}" if _is_spaced(a + b) else f"{a} {b}"


def _is_spaced(name: str) -> bool:
    return any(map(str.isspace, name))


def _split(line: str, known: Collection[str] | None) -> tuple[str, str] | None:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 2:
        return parts[0].strip(), parts[1].strip()
    words = line.split(" ")  # names with spaces, written with a space: find the cut by the names
    cuts = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    fitting = [(a, b) for a, b in cuts if known is not None and a in known and b in known]
    return fitting[0] if len(fitting) == 1 else None


def _is_first(pair: tuple[str, str] | None, known: Collection[str] | None) -> bool:
    return pair is not None and known is not None and pair[0] in known


def _fault(
    pair: tuple[str, str] | None,
    line: str,
    before: dict[tuple[str, str], int],
    known: Collection[str] | None,
) -> str:
    if pair is None:
        return f"`{line.strip()}` is no pair (two names; a tab between names that hold spaces)"
    for name in pair:
        if known is not None and name not in known:
            return f"no image `{name}`"
    if pair[0] == pair[1]:
        return f"`{pair[0]}` is paired with itself"
    first = before.get(pair) or before.get(pair[::-1])
    return f"`{pair[0]}` and `{pair[1]}` are already paired in line {first}" if first else ""

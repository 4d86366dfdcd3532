"""Lists of image pairs: building, reading and writing them as hloc does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from silk_sfm.errors import PairError
from silk_sfm.files import whole_file

MAX_REPORTED = 5


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
    def exhaustive(names: Sequence[str]) -> PairList:
        """Every image with every other: N (N - 1) / 2 pairs."""
        return PairList(tuple((a, b) for i, a in enumerate(names) for b in names[i + 1 :]))

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
        found = {(i, j) for i in range(len(names)) for j in range(i + 1, i + window + 1)}
        if loop_every:
            anchors = range(0, len(names), loop_every)
            found |= {
                (min(i, k), max(i, k))
                for i in anchors
                for j in anchors
                if j != i
                for k in range(j - loop_window, j + loop_window + 1)
                if k != i and k >= 0
            }
        return PairList(tuple((names[i], names[j]) for i, j in sorted(found) if j < len(names)))

    @staticmethod
    def read(path: Path, known: Collection[str] | None = None) -> PairList:
        """Read `a b` per line; a tab separates names that hold spaces.

        `known`: image names; a pair with another name is an error. Empty lines and lines that
        start with # are passed over. Raises PairError that lists the faulty lines: unknown names,
        an image with itself, a pair given twice (in either order).
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
            if not line.strip() or line.startswith("#"):
                continue
            pair = _split(line, known)
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
        try:
            with whole_file(path) as part:
                part.write_text("".join(f"{_joined(*pair)}\n" for pair in self.pairs), "utf-8")
        except OSError as error:
            raise PairError(
                f"Cannot write the pair list {path}: {error.strerror}. Choose another file."
            ) from error


def _joined(a: str, b: str) -> str:
    spaced = any(character.isspace() for character in a + b)
    return f"{a}\t{b}" if spaced else f"{a} {b}"


def _split(line: str, known: Collection[str] | None) -> tuple[str, str] | None:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 2:
        return parts[0].strip(), parts[1].strip()
    words = line.split(" ")  # names with spaces, written with a space: find the cut by the names
    cuts = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    fitting = [(a, b) for a, b in cuts if known is not None and a in known and b in known]
    return fitting[0] if len(fitting) == 1 else None


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

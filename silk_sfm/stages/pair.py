"""Image names to a pair list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from silk_sfm.errors import ConfigError, PairError
from silk_sfm.pairs import PairList
from silk_sfm.stages.retrieval import retrieve_pairs
from silk_sfm.store import FeatureStore


@dataclass(frozen=True)
class PairOptions:
    """Which images are matched with which."""

    pairing: Literal["exhaustive", "sequential", "retrieval", "file"] = "exhaustive"
    """exhaustive: all with all; sequential: each with the next ones by name; retrieval: each with
    those that look most alike, by a vocabulary tree on the descriptors; file: `pair_file`."""
    window: int = 10
    """sequential: how many of the next images each is paired with."""
    loop_every: int = 0
    """sequential: close loops between every so many images; 0 closes none."""
    loop_window: int = 2
    """sequential: neighbours on both sides of each loop candidate."""
    similar: int = 20
    """retrieval: how many of the most similar images each is paired with."""
    pair_file: Path | None = None
    """file: a list with two names a line, as hloc writes it; a tab between names with spaces."""

    def __post_init__(self) -> None:
        if (self.pairing == "file") != (self.pair_file is not None):
            raise ConfigError("`pairing = file` and `pair_file` go together: give both or neither.")
        if self.window < 1 or self.loop_every < 0 or self.loop_window < 0:
            raise ConfigError("window must be at least 1, loop_every and loop_window at least 0.")
        if self.similar < 1:
            raise ConfigError(f"similar must be at least 1, got {self.similar}.")


def make_pairs(
    names: Sequence[str], options: PairOptions, features: FeatureStore | None = None
) -> PairList:
    """Pair the images `names`; retrieval needs their `features`.

    Raises PairError when a list names others, when nothing is paired, or when features are missing.
    """
    if options.pair_file is not None:
        pairs = PairList.read(options.pair_file, known=frozenset(names))
    elif options.pairing == "sequential":
        pairs = PairList.sequential(names, options.window, options.loop_every, options.loop_window)
    elif options.pairing == "retrieval":
        if features is None:
            raise PairError("Retrieval compares descriptors: give a feature store, not photos.")
        pairs = retrieve_pairs(names, features, options.similar)
    else:
        pairs = PairList.exhaustive(names)
    if not pairs:
        raise PairError(f"No pairs from {len(names)} images. Give at least two images.")
    return pairs

"""Features and a pair list to a match store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from silk_sfm.errors import ConfigError, PairError, SilkSfmError, StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.best_turn import BestTurn
from silk_sfm.nn.workers import torch_threads
from silk_sfm.options import neutral, result_options
from silk_sfm.pairs import PairList
from silk_sfm.plugins import GatheringMatcher, Matcher, PreparingMatcher
from silk_sfm.stages.blocks import Pair, Upcoming, in_blocks, memory_limit
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.stages.streams import WriteBehind, attempt, in_threads
from silk_sfm.store import FeatureStore, MatchWriter, Provenance, check_collisions, pair_key

BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class MatchingOptions:
    """How matching is run."""

    memory_gb: float = neutral(2.0)
    """Features kept in memory at most, in GiB (on a GPU: of its memory). With less, images are read
    more often; the matches are the same."""
    threads: int = neutral(0)
    """How many pairs are matched at a time on the CPU; 0 takes all cores."""

    def __post_init__(self) -> None:
        memory_limit(self.memory_gb)
        if self.threads < 0:
            raise ConfigError(f"threads must not be negative, got {self.threads}.")


def matching_provenance(matcher: Chosen, features: FeatureStore) -> Provenance:
    """What decides the content of a match store."""
    return Provenance(matcher.name, result_options(matcher.options), {"features": features.digest})


def match(
    pairs: PairList,
    features: FeatureStore,
    matcher: Matcher,
    store: MatchWriter,
    track: Track = silent,
    options: MatchingOptions = MatchingOptions(),
) -> StageReport:
    """Match every pair that is not yet in the store, block by block (`in_blocks`)."""
    check_pairs(pairs, features)
    todo = [pair for pair in pairs if not store.has_pair(pair)]
    found = 0
    with WriteBehind[tuple[Matches, int]](store) as behind:
        matched = match_pairs(todo, features, matcher, options)
        for pair, matches, n_keypoints in track(matched, "pairs", len(todo)):
            found += len(matches)
            behind.add(pair_key(pair), (matches, n_keypoints))
    return StageReport("match", "pairs", len(todo), len(pairs) - len(todo), found, "matches")


def check_pairs(pairs: PairList, features: FeatureStore) -> None:
    """Raises PairError for images without features, StoreError for pairs that share a name."""
    check_collisions(pairs)
    missing = [name for name in pairs.names if name not in features]
    if missing:
        raise PairError(
            f"{features.path} holds no features of {len(missing)} images of the pair list "
            f"(`{missing[0]}`, ...). Extract them or take them off the list."
        )


def match_pairs(
    pairs: Sequence[Pair], features: FeatureStore, matcher: Matcher, options: MatchingOptions
) -> Iterator[tuple[Pair, Matches, int]]:
    """Each pair with its matches and the number of keypoints of its first image.

    Yields them in the order of `in_blocks` for the memory that `options` allow.
    """
    steps = _steps(matcher, features.has_turns)
    limit = memory_limit(options.memory_gb)
    if steps.n_together > 1:
        limit //= 2  # one half for images that come up again, one for those of gathered pairs
    each = BYTES_PER_NUMBER * features.descriptor_size * (4 if features.has_turns else 1)
    sizes = {name: features.count(name) * each for pair in pairs for name in pair}
    ordered = in_blocks(pairs, sizes, limit)
    ready = _ready_pairs(ordered, features, steps.prepare, limit)
    n_threads = options.threads or os.cpu_count() or 1
    if not steps.in_threads or len(pairs) < 2 * n_threads:
        gathered = _gathered(ready, steps.n_together, limit)
        yield from _checked(chain.from_iterable(map(steps.join_many, gathered)), features)
        return
    with torch_threads(1):  # threads that share a pair would mostly wait
        results: Iterator[tuple[_ReadyPair, Any]] = in_threads(
            steps.join, ready, n_threads, ahead=2 * n_threads
        )
        yield from _checked(results, features)


@dataclass(frozen=True, eq=False)
class _Ready:
    """An image as the matcher takes it."""

    prepared: Any
    n_keypoints: int
    n_bytes: int


@dataclass(frozen=True, eq=False)
class _ReadyPair:
    pair: Pair
    a: _Ready
    b: _Ready


@dataclass(frozen=True)
class _Steps:
    """What is done once an image, and what for each pair; `in_threads`: may pairs share time?

    match_many: what is done for `n_together` pairs at a time, where the matcher wants more than one
    """

    prepare: Callable[[LocalFeatures], Any]
    match: Callable[[Any, Any], Matches]
    in_threads: bool
    match_many: Callable[[Sequence[tuple[Any, Any]]], list[Matches]] | None = None
    n_together: int = 1

    def join(self, ready: _ReadyPair) -> Matches:
        """Match a pair."""
        return self.match(ready.a.prepared, ready.b.prepared)

    def join_many(self, gathered: Sequence[_ReadyPair]) -> list[tuple[_ReadyPair, Any]]:
        """Match some pairs; an error of silk-sfm comes as the result of its pair."""
        if self.match_many is not None:
            prepared = [(pair.a.prepared, pair.b.prepared) for pair in gathered]
            found = attempt(self.match_many, prepared)
            if not isinstance(found, SilkSfmError):
                return list(zip(gathered, found, strict=True))
        # one after the other, also to learn whose error it is
        return [(pair, attempt(self.join, pair)) for pair in gathered]


def _steps(matcher: Matcher, with_turns: bool) -> _Steps:
    if with_turns:
        return _Steps(lambda features: features, BestTurn(matcher), False)
    if isinstance(matcher, GatheringMatcher) and matcher.pairs_together > 1:
        many, n_together = matcher.match_many, matcher.pairs_together
        return _Steps(matcher.prepare, matcher.match, False, many, n_together)
    if isinstance(matcher, PreparingMatcher):
        return _Steps(matcher.prepare, matcher.match, matcher.device == "cpu")
    return _Steps(lambda features: features, matcher, False)


def _ready_pairs(
    ordered: Sequence[Pair],
    features: FeatureStore,
    prepare: Callable[[LocalFeatures], Any],
    limit: int,
) -> Iterator[_ReadyPair]:
    uses = (name for pair in ordered for name in pair)
    read = partial(_ready, features=features, prepare=prepare)
    upcoming = Upcoming(uses, read, lambda ready: ready.n_bytes, limit)
    for pair in ordered:
        yield _ReadyPair(pair, upcoming.take(pair[0]), upcoming.take(pair[1]))


def _gathered(
    ready: Iterable[_ReadyPair], n_together: int, limit: int
) -> Iterator[list[_ReadyPair]]:
    """Up to `n_together` pairs, fewer where their images reach `limit` bytes."""
    gathered: list[_ReadyPair] = []
    sizes: dict[int, int] = {}
    for pair in ready:
        gathered.append(pair)
        sizes |= {id(image): image.n_bytes for image in (pair.a, pair.b)}
        if len(gathered) == n_together or sum(sizes.values()) >= limit:
            yield gathered
            gathered, sizes = [], {}
    if gathered:
        yield gathered


def _checked(
    results: Iterable[tuple[_ReadyPair, Any]], features: FeatureStore
) -> Iterator[tuple[Pair, Matches, int]]:
    """Raises StoreError that names the pair which could not be matched."""
    for ready, matches in results:
        if isinstance(matches, SilkSfmError):
            a, b = ready.pair
            raise StoreError(f"{features.path}: `{a}` and `{b}`: {matches}") from matches
        yield ready.pair, matches, ready.a.n_keypoints


def _ready(name: str, features: FeatureStore, prepare: Callable[[LocalFeatures], Any]) -> _Ready:
    read = features[name]
    try:
        prepared = prepare(read)
    except SilkSfmError as error:
        raise StoreError(f"{features.path}: `{name}`: {error}") from error
    turned = 0 if read.turned is None else read.turned.nbytes
    n_bytes = getattr(prepared, "nbytes", read.descriptors.nbytes + turned)
    return _Ready(prepared, len(read), n_bytes)

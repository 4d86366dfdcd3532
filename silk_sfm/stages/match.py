"""Features and a pair list to a match store."""

from __future__ import annotations

from collections import OrderedDict

from silk_sfm.errors import PairError, SilkSfmError, StoreError
from silk_sfm.features import LocalFeatures
from silk_sfm.options import result_options
from silk_sfm.pairs import PairList
from silk_sfm.plugins import Matcher
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store import FeatureStore, MatchWriter, Provenance, check_collisions

CACHE_BYTES = 2 * 2**30


def matching_provenance(matcher: Chosen, features: FeatureStore) -> Provenance:
    """What decides the content of a match store."""
    return Provenance(matcher.name, result_options(matcher.options), {"features": features.digest})


def match(
    pairs: PairList,
    features: FeatureStore,
    matcher: Matcher,
    store: MatchWriter,
    track: Track = silent,
) -> StageReport:
    """Match every pair that is not yet in the store."""
    check_collisions(pairs)
    missing = [name for name in pairs.names if name not in features]
    if missing:
        raise PairError(
            f"{features.path} holds no features of {len(missing)} images of the pair list "
            f"(`{missing[0]}`, ...). Extract them or take them off the list."
        )
    todo = [pair for pair in pairs if not store.has_pair(pair)]
    cache = _FeatureCache(features)
    found = 0
    for pair in track(todo, "pairs", len(todo)):
        a, b = cache[pair[0]], cache[pair[1]]
        try:
            matches = matcher(a, b)
        except SilkSfmError as error:
            raise StoreError(f"{features.path}: `{pair[0]}` and `{pair[1]}`: {error}") from error
        found += len(matches)
        store.add_pair(pair, matches, len(a))
    return StageReport("match", "pairs", len(todo), len(pairs) - len(todo), found, "matches")


class _FeatureCache:
    """Keeps the features read last, up to CACHE_BYTES."""

    def __init__(self, features: FeatureStore) -> None:
        self._features = features
        self._kept: OrderedDict[str, LocalFeatures] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, name: str) -> LocalFeatures:
        found = self._kept.pop(name, None)
        if found is None:
            found = self._features[name]
            self._bytes += found.descriptors.nbytes
            while self._bytes > CACHE_BYTES and self._kept:
                self._bytes -= self._kept.popitem(last=False)[1].descriptors.nbytes
        self._kept[name] = found
        return found

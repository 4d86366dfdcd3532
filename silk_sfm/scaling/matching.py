"""`silk-sfm match` as work that can be cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from silk_sfm.pairs import PairList
from silk_sfm.plugins import Matcher
from silk_sfm.scaling.pair_blocks import PairStage
from silk_sfm.stages.blocks import Pair
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.match import MatchingOptions, check_pairs, match, matching_provenance
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.store import FeatureStore, MatchStore, MatchWriter
from silk_sfm.store.pieces import Piece


@dataclass(frozen=True)
class MatchingPlan:
    """Which pairs of which features, how, where to."""

    features: Path
    pairs: Path
    matcher: Chosen
    options: MatchingOptions
    device: str
    output: Path

    @contextmanager
    def opened(self) -> Iterator[Matching]:
        """The stage with its matcher made and its features open."""
        matcher = self.matcher.make("matchers", self.device)
        with FeatureStore(self.features) as features:
            yield Matching(self, matcher, features)

    def on_device(self, device: str) -> MatchingPlan:
        """The same plan with tensors on `device`."""
        return replace(self, device=device)

    def for_worker(self, device: str, n_cpus: int) -> MatchingPlan:
        """The same plan with as many threads as there are cores for it."""
        return replace(self, device=device, options=replace(self.options, threads=n_cpus))


class Matching(PairStage[MatchWriter]):
    """Pairs to matches."""

    def __init__(self, plan: MatchingPlan, matcher: Matcher, features: FeatureStore) -> None:
        self.output = plan.output
        self._plan = plan
        self._matcher = matcher
        self._features = features
        self.provenance = matching_provenance(plan.matcher, features)

    def items(self) -> Sequence[Pair]:
        """The pair list. Raises PairError for its faulty lines."""
        pairs = PairList.read(self._plan.pairs, known=frozenset(self._features.names))
        check_pairs(pairs, self._features)
        return pairs.pairs

    def writer(self, overwrite: bool = False, piece: Piece | None = None) -> MatchWriter:
        """The match store."""
        return MatchWriter(self.output, self.provenance, overwrite, piece)

    def reader(self) -> MatchStore:
        """The match store as it is."""
        return MatchStore(self.output)

    def run(self, items: Sequence[Pair], store: MatchWriter, track: Track = silent) -> StageReport:
        """Match these pairs."""
        pairs = PairList(tuple(items))
        return match(pairs, self._features, self._matcher, store, track, self._plan.options)

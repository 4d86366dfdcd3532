"""`silk-sfm verify` as work that can be cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from silk_sfm.plugins import Verifier
from silk_sfm.scaling.pair_blocks import PairStage
from silk_sfm.stages.blocks import Pair
from silk_sfm.stages.choice import Chosen
from silk_sfm.stages.report import StageReport, Track, silent
from silk_sfm.stages.verify import (
    VerificationOptions,
    trusted_cameras,
    verification_provenance,
    verify_block,
)
from silk_sfm.store import FeatureStore, MatchStore, VerifiedStore, VerifiedWriter
from silk_sfm.store.pieces import Piece


@dataclass(frozen=True)
class VerificationPlan:
    """Which matches of which features, how, where to."""

    features: Path
    matches: Path
    verifier: Chosen
    options: VerificationOptions
    intrinsics: Path | None
    output: Path

    @property
    def device(self) -> str:
        """Verifiers compute on the CPU."""
        return "cpu"

    @contextmanager
    def opened(self) -> Iterator[Verification]:
        """The stage with its verifier made, features and matches open and intrinsics read."""
        verifier = self.verifier.make("verifiers", "cpu")
        with FeatureStore(self.features) as features, MatchStore(self.matches) as matches:
            yield Verification(self, verifier, features, matches)

    def on_device(self, device: str) -> VerificationPlan:
        """The same plan."""
        return self

    def for_worker(self, device: str, n_cpus: int) -> VerificationPlan:
        """The same plan with as many threads as there are cores for it."""
        return replace(self, options=replace(self.options, threads=n_cpus))


class Verification(PairStage[VerifiedWriter]):
    """Pairs with matches to two-view geometries."""

    def __init__(
        self,
        plan: VerificationPlan,
        verifier: Verifier,
        features: FeatureStore,
        matches: MatchStore,
    ) -> None:
        self.output = plan.output
        self._plan = plan
        self._verifier = verifier
        self._features, self._matches = features, matches
        self._cameras = trusted_cameras(features, plan.intrinsics)
        self.provenance = verification_provenance(
            plan.verifier, plan.options, features, matches, self._cameras
        )

    def items(self) -> Sequence[Pair]:
        """The pairs of the match store. Raises StoreError when one is not of the features."""
        return self._matches.pairs(self._features.names)

    def writer(self, overwrite: bool = False, piece: Piece | None = None) -> VerifiedWriter:
        """The verified store."""
        return VerifiedWriter(self.output, self.provenance, overwrite, piece)

    def reader(self) -> VerifiedStore:
        """The verified store as it is."""
        return VerifiedStore(self.output)

    def run(
        self, items: Sequence[Pair], store: VerifiedWriter, track: Track = silent
    ) -> StageReport:
        """Verify these pairs."""
        return verify_block(
            items,
            self._features,
            self._matches,
            self._verifier,
            store,
            self._plan.options,
            self._cameras.by_name,
            track,
        )

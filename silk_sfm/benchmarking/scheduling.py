"""Exhaustive matching: pairs in blocks beside hloc's way, both images read for each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

from silk_sfm.benchmarking.figures import Figure, Scope, rate
from silk_sfm.benchmarking.stores import HLOC, MADE, Fresh, some_features
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.matchers.double_softmax import DoubleSoftmax, DoubleSoftmaxOptions
from silk_sfm.matchers.inputs import to_matches
from silk_sfm.matching.dense import dense_double_softmax
from silk_sfm.matching.tiles import MutualPairs
from silk_sfm.pairs import PairList
from silk_sfm.plugins import About, Matcher
from silk_sfm.stages.match import match
from silk_sfm.store import FeatureStore, FeatureWriter, MatchWriter
from silk_sfm.store import reopening as peer

OPTIONS = DoubleSoftmaxOptions()
TEMPERATURE = OPTIONS.temperature / OPTIONS.descriptor_scale**2
N_IMAGES = 200
READERS = "the baseline reads in its own thread, hloc in five processes where there are cores"
PARTS = {2_048: (10, 100), 8_192: (100, 1_000)}
"""Of how many pairs one is matched, by us and by the baseline: all would take hours on a laptop."""


def figures(scope: Scope) -> Iterator[Figure]:
    """All pairs of 200 images, first without the matching itself, then with it."""
    n_images = 12 if scope.quick else N_IMAGES
    parts = {256: (1, 2)} if scope.quick else PARTS
    for n_keypoints, (ours_every, theirs_every) in parts.items():
        names = [f"{i:06d}.jpg" for i in range(n_images)]
        run = _Runs(scope.folder / f"{n_keypoints}", scope.device)
        run.write_features(names, n_keypoints)
        pairs = PairList.exhaustive(names)
        what = f"{n_images} images, {n_keypoints} keypoints"
        yield _fed(run, pairs, _part(pairs, theirs_every), what)
        yield Figure(
            f"reads of an image for all pairs of {what}",
            "reads",
            lambda run=run: run.n_read / n_images,  # type: ignore[misc]
            lambda pairs=pairs: 2 * len(pairs) / n_images,  # type: ignore[misc]
            HLOC,
            max_repeats=1,
        )
        yield _matched(run, _part(pairs, ours_every), _part(pairs, theirs_every), what)


def _fed(run: _Runs, ours: PairList, theirs: PairList, what: str) -> Figure:
    return Figure(
        f"read and write for pairs of {what}",
        "pairs/s",
        rate(lambda: run.in_blocks(ours, NoMatches()), len(ours)),
        rate(lambda: run.reopening(theirs, nothing), len(theirs)),
        HLOC,
        more_is_better=True,
        max_repeats=3,
        note=f"all but the matching itself, {len(ours)} pairs, the baseline {len(theirs)}; "
        + READERS,
    )


def _matched(run: _Runs, ours: PairList, theirs: PairList, what: str) -> Figure:
    matcher = DoubleSoftmax(OPTIONS, run.device)
    dense = partial(dense_double_softmax, temperature=TEMPERATURE, threshold=OPTIONS.threshold)
    return Figure(
        f"match pairs of {what}",
        "pairs/s",
        rate(lambda: run.in_blocks(ours, matcher), len(ours)),
        rate(lambda: run.reopening(theirs, dense), len(theirs)),
        f"{HLOC}, double softmax by the dense formula",
        more_is_better=True,
        max_repeats=1,
        note=f"double softmax, from file to file, {len(ours)} pairs, the baseline {len(theirs)}; "
        + READERS,
    )


def _part(pairs: PairList, every: int) -> PairList:
    return PairList(pairs.pairs[::every])


Formula = Callable[[torch.Tensor, torch.Tensor], MutualPairs]


class _Runs:
    """Matches pairs of the same features, our way and hloc's way."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device = device
        self.n_read = 0
        self._features, self._peer_features = folder / "features.h5", folder / "feats.h5"
        self._matches, self._peer_matches = Fresh(folder / "ours"), Fresh(folder / "hloc")

    def write_features(self, names: Sequence[str], n_keypoints: int) -> None:
        """Both feature files."""
        with FeatureWriter(self._features, MADE) as store:
            for seed, name in enumerate(names):
                features = some_features(n_keypoints, seed)
                store.add(name, features)
                peer.write_features_reopening(self._peer_features, name, features)

    def in_blocks(self, pairs: PairList, matcher: Matcher) -> None:
        """Our stage, into a new store; counts the images read."""
        with (
            CountingStore(self._features) as features,
            MatchWriter(self._matches.anew(), MADE) as store,
        ):
            match(pairs, features, matcher, store)
        self.n_read = features.n_read

    def reopening(self, pairs: PairList, formula: Formula) -> None:
        """As hloc does: for each pair two files are opened and read, one is opened and written."""
        path = self._peer_matches.anew()
        for pair in pairs:
            a, b = (
                peer.read_features_reopening(self._peer_features, name)["descriptors"]
                for name in pair
            )
            found = formula(*(torch.from_numpy(d.T.copy()).to(self.device) for d in (a, b)))
            peer.write_matches_reopening(path, pair, to_matches(found), a.shape[1])


class CountingStore(FeatureStore):
    """Counts how often features are read."""

    n_read = 0

    def __getitem__(self, name: str) -> LocalFeatures:
        """The features of an image."""
        self.n_read += 1
        return super().__getitem__(name)


class NoMatches:
    """A matcher that prepares images and finds nothing: what is left is reading and writing."""

    about: ClassVar[About] = About(summary="Nothing matches.", licence="Apache-2.0")

    def __call__(self, a: LocalFeatures, b: LocalFeatures) -> Matches:
        """No match."""
        return Matches.empty()


def nothing(a: torch.Tensor, b: torch.Tensor) -> MutualPairs:
    """The formula of `NoMatches`."""
    return MutualPairs.empty(a.device)

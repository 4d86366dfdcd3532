"""Which images are in the model, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from silk_sfm.colmap.observed import Observations
from silk_sfm.reporting.findings import PairTable, Status


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the status of an image is decided from.

    names: of all images, in the order in which `pairs` counts them
    observed: of the images in the largest model, None when there is no model
    others: for each smaller model, the names of its images
    n_keypoints: by name, as far as it is known; None: no features were looked at
    pairs: None when none were verified
    skipped: why images could not be used, by name
    """

    names: Sequence[str]
    observed: Mapping[str, Observations] | None
    others: Sequence[frozenset[str]]
    n_keypoints: Mapping[str, int] | None
    pairs: PairTable | None
    skipped: Mapping[str, str]

    def of(self, index: int) -> tuple[Status, str]:
        """Status of an image, and one sentence that says why."""
        name = self.names[index]
        if self.observed is not None and name in self.observed:
            return "registered", _registered(self.observed[name])
        for number, members in enumerate(self.others, start=2):
            if name in members:
                return "other model", (
                    f"In model {number} of {len(self.others) + 1}, with "
                    f"{_count(len(members) - 1, 'other image')}; no common points tie it to the "
                    "largest one."
                )
        return self._outside(name, index)

    def _outside(self, name: str, index: int) -> tuple[Status, str]:
        if name in self.skipped:
            return "unread", self.skipped[name]
        if self.n_keypoints is not None:
            if name not in self.n_keypoints:
                return "unread", "The feature store does not hold it."
            if self.n_keypoints[name] == 0:
                return "no keypoints", "Nothing in it was found worth a keypoint: blank or blurred."
        if self.pairs is None:
            return "unverified", "Not in the model; no verified pairs are there to say why."
        return self._by_pairs(self.pairs, index)

    def _by_pairs(self, pairs: PairTable, index: int) -> tuple[Status, str]:
        rows = pairs.of(index)
        if len(rows) == 0:
            return "unpaired", "It was matched with no other image: the pair list leaves it out."
        verified = rows[pairs.verified[rows]]
        if len(verified) == 0:
            best = rows[np.argmax(pairs.tentative[rows])]
            return "unverified", (
                f"None of its {_count(len(rows), 'pair')} was verified; the best one has "
                f"{_count(int(pairs.tentative[best]), 'match', 'matches')} "
                f"({self.names[pairs.partner(int(best), index)]})."
            )
        best = verified[np.argmax(pairs.inliers[verified])]
        end = "no model was made" if self.observed is None else "the mapper could not place it"
        return "left out", (
            f"Verified with {_count(len(verified), 'image')}, at most {int(pairs.inliers[best])} "
            f"inliers ({self.names[pairs.partner(int(best), index)]}), but {end}."
        )


def _registered(observed: Observations) -> str:
    seen = len(observed.rows)
    return f"{seen} of its {_count(observed.n_keypoints, 'keypoint')} see a point of the model."


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"

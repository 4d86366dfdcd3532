"""Why an image is in the model or not: every status and its sentence."""

from __future__ import annotations

import numpy as np
import pytest

from silk_sfm.colmap.observed import Observations
from silk_sfm.reporting.findings import PairTable
from silk_sfm.reporting.status import Evidence

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")
PAIRS = PairTable(
    first=np.array([0, 0, 0, 1, 2]),
    second=np.array([1, 2, 3, 3, 3]),
    inliers=np.array([90, 40, 0, 0, 17]),
    tentative=np.array([99, 50, 7, 12, 30]),
)
SEEN = Observations(np.arange(3), np.zeros((3, 2)), np.zeros(3), 10)
EVIDENCE = Evidence(
    names=NAMES,
    observed={"a": SEEN, "b": SEEN},
    others=[frozenset({"g", "x"}), frozenset({"h", "y", "z"})],
    n_keypoints={"a": 10, "b": 10, "c": 10, "d": 10, "e": 0, "f": 10, "g": 10, "h": 10},
    pairs=PAIRS,
    skipped={},
)


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        ("a", "registered", "3 of its 10 keypoints see a point of the model."),
        (
            "c",
            "left out",
            "Verified with 2 images, at most 40 inliers (a), but the mapper could not place it.",
        ),
        (
            "d",
            "left out",
            "Verified with 1 image, at most 17 inliers (c), but the mapper could not place it.",
        ),
        ("e", "no keypoints", "Nothing in it was found worth a keypoint: blank or blurred."),
        ("f", "unpaired", "It was matched with no other image: the pair list leaves it out."),
        (
            "g",
            "other model",
            "In model 2 of 3, with 1 other image; no common points tie it to the largest one.",
        ),
        (
            "h",
            "other model",
            "In model 3 of 3, with 2 other images; no common points tie it to the largest one.",
        ),
    ],
)
def test_status_and_reason(name: str, status: str, why: str) -> None:
    assert EVIDENCE.of(NAMES.index(name)) == (status, why)


def with_evidence(**changed: object) -> Evidence:
    values = {**vars(EVIDENCE), **changed}
    return Evidence(**values)


def test_an_image_none_of_whose_pairs_was_verified() -> None:
    inliers = np.array([90, 40, 0, 0, 0])
    pairs = PairTable(PAIRS.first, PAIRS.second, inliers, PAIRS.tentative)
    assert with_evidence(pairs=pairs).of(3) == (
        "unverified",
        "None of its 3 pairs was verified; the best one has 30 matches (c).",
    )


def test_without_a_model_the_mapper_has_not_refused_an_image() -> None:
    status, why = with_evidence(observed=None, others=[]).of(0)
    assert status == "left out"
    assert why == "Verified with 2 images, at most 90 inliers (b), but no model was made."


def test_a_reason_for_which_an_image_was_skipped_is_passed_on() -> None:
    skipped = {"c": "c is empty (0 bytes). Copy it again or remove it."}
    assert with_evidence(skipped=skipped).of(2) == ("unread", skipped["c"])


def test_an_image_without_features() -> None:
    evidence = with_evidence(n_keypoints={"a": 10, "b": 10})
    assert evidence.of(2) == ("unread", "The feature store does not hold it.")


def test_without_stores_a_report_cannot_say_why() -> None:
    evidence = with_evidence(n_keypoints=None, pairs=None)
    assert evidence.of(2) == (
        "unverified",
        "Not in the model; no verified pairs are there to say why.",
    )

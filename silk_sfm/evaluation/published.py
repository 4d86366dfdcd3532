"""Numbers that papers and repositories publish: rows to compare with, never mixed with ours.

Images, estimators and versions of libraries differ; each row says what it was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """method; metrics by the name that measured rows use
    source: where it stands; protocol: data set and settings it was measured with
    """

    method: str
    metrics: Mapping[str, float]
    source: str
    protocol: str


def _rows(
    source: str, protocol: str, names: str, figures: Mapping[str, str]
) -> tuple[PublishedRow, ...]:
    """A table as it is printed: names of the columns, and a line of numbers for each method."""
    columns = [name.replace("_", " ") for name in names.split()]
    return tuple(
        PublishedRow(
            method,
            dict(zip(columns, map(float, numbers.split()), strict=True)),
            source,
            protocol,
        )
        for method, numbers in figures.items()
    )


_SILK = "SiLK paper, arXiv 2304.06194"
_SILK_HPATCHES = "HPatches (all 116 sequences), shorter side 480, OpenCV RANSAC 3 px"
_KP2D = "KP2D README (TRI-ML/KP2D)"
_KP2D_COLUMNS = "Repeatability Localization_error C1 C3 C5 MScore"
_MEGADEPTH = "MegaDepth-1500, OpenCV RANSAC"

PUBLISHED: Mapping[str, tuple[PublishedRow, ...]] = {
    "hpatches-silk": (
        *_rows(
            f"{_SILK}, Tab. 2",
            f"{_SILK_HPATCHES}, mutual nearest neighbours",
            "Rep@1 Rep@3 HomAcc@1 HomAcc@3 HomAUC@1 HomAUC@3 MMA@1 MMA@3 keypoints matches",
            {
                "SuperPoint (MagicLeap)": ".34 .61 .43 .80 .20 .51 .41 .72 847 499",
                "SuperPoint (SiLK's retrain)": ".33 .52 .48 .75 .26 .52 .38 .53 1143 474",
                "SIFT": ".31 .52 .60 .84 .34 .61 .41 .55 2189 910",
                "R2D2": ".36 .72 .45 .79 .20 .50 .34 .75 6088 1967",
                "DISK": ".38 .69 .45 .80 .22 .52 .52 .84 3349 1794",
                "SiLK top-10k": ".62 .81 .62 .87 .40 .66 .59 .71 10000 4283",
                "SiLK top-5k": ".56 .76 .60 .85 .39 .64 .57 .69 5000 2074",
                "SiLK top-1k": ".43 .61 .53 .81 .32 .58 .52 .63 1000 389",
            },
        ),
        *_rows(
            f"{_SILK}, Tab. 3 (dense)",
            _SILK_HPATCHES,
            "HomAcc@1 HomAcc@3 HomAUC@1 HomAUC@3 MMA@1 MMA@3",
            {
                "LoFTR (MegaDepth)": ".65 .87 .37 .65 .64 .91",
                "LoFTR (ScanNet)": ".24 .57 .07 .33 .36 .76",
            },
        ),
    ),
    "hpatches-kp2d": (
        *_rows(
            _KP2D,
            "HPatches, 320x240, 300 points",
            _KP2D_COLUMNS,
            {
                "KP2D V0 320x240": ".644 1.087 .459 .816 .888 .518",
                "KP2D V1 320x240": ".678 .98 .453 .828 .905 .552",
                "KP2D V2 320x240": ".679 .942 .534 .86 .914 .573",
                "KP2D V3 320x240": ".685 .885 .602 .836 .886 .52",
                "KP2D V4 320x240": ".687 .892 .593 .867 .91 .546",
            },
        ),
        *_rows(
            _KP2D,
            "HPatches, 640x480, 1,000 points",
            _KP2D_COLUMNS,
            {
                "KP2D V0 640x480": ".633 1.157 .45 .81 .89 .486",
                "KP2D V1 640x480": ".673 1.049 .464 .817 .895 .519",
                "KP2D V2 640x480": ".68 1.008 .51 .855 .921 .544",
                "KP2D V3 640x480": ".682 .972 .55 .812 .883 .486",
                "KP2D V4 640x480": ".684 .972 .566 .84 .9 .511",
            },
        ),
    ),
    "hpatches-pck": tuple(
        row
        for subset, figures in {
            "all": {
                "DAISY": ".592",
                "SuperPoint": ".646",
                "MSNetV0": ".626",
                "MSNetV1": ".742",
                "MSNetV2": ".690",
            },
            "viewpoint": {
                "DAISY": ".535",
                "SuperPoint": ".592",
                "MSNetV0": ".619",
                "MSNetV1": ".732",
                "MSNetV2": ".719",
            },
            "illumination": {
                "DAISY": ".647",
                "SuperPoint": ".702",
                "MSNetV0": ".644",
                "MSNetV1": ".752",
                "MSNetV2": ".657",
            },
        }.items()
        for row in _rows(
            "Descriptor Space README",
            f"HPatches, {subset}; printed there as PCK@5, its released code evaluates at 3 px",
            "PCK@3",
            {f"{method}, {subset}": number for method, number in figures.items()},
        )
    ),
    "pose-scannet": _rows(
        f"{_SILK}, Tab. 5",
        "ScanNet-1500; SiLK: coco-rgb-aug, 20k keypoints, mutual nearest neighbours",
        "AUC@5 AUC@10 AUC@20",
        {
            "D2-Net": "5.3 14.5 28.0",
            "SuperPoint": "9.4 21.5 36.4",
            "SuperPoint+SuperGlue": "16.2 33.8 51.8",
            "SiLK": "18.0 34.4 50.4",
            "LoFTR (MegaDepth)": "16.9 33.6 50.6",
            "LoFTR (ScanNet)": "21.5 40.8 57.6",
        },
    ),
    "pose-megadepth": (
        *_rows(
            "Parskatt/DeDoDe, issue 13",
            f"{_MEGADEPTH}, one protocol for all",
            "AUC@5 AUC@10 AUC@20",
            {
                "SIFT": "35.0 50.4 63.9",
                "DISK": "35.0 51.4 64.9",
                "SiLK": "39.9 55.1 66.9",
                "ALIKED": "41.9 58.4 71.7",
                "DeDoDe-B": "49.4 65.5 77.7",
                "DeDoDe-G": "52.8 69.7 82.0",
            },
        ),
        *_rows(
            "glue-factory README",
            "MegaDepth-1500; one set of matches, three estimators",
            "AUC@5 AUC@10 AUC@20",
            {
                "SuperPoint+LightGlue, OpenCV": "51.0 68.1 80.7",
                "SuperPoint+LightGlue, pycolmap": "56.7 72.4 83.7",
                "SuperPoint+LightGlue, PoseLib": "66.8 79.3 87.9",
            },
        ),
    ),
    "registration": _rows(
        f"{_SILK}, Tab. 6",
        "ScanNet pairs, image size 146",
        "Rot@5 Rot@10 Rot@45 Trans@5 Trans@10 Trans@25 Chamfer@1 Chamfer@5 Chamfer@10",
        {"SiLK": "98.1 99.0 99.6 82.9 94.8 99.0 92.8 98.3 99.1"},
    ),
    "imc2022": _rows(
        f"{_SILK}, Tab. 4",
        "Image Matching Challenge 2022, private and public leaderboard; SiLK: coco-rgb-aug",
        "mAA_private mAA_public",
        {
            "DISK": ".491 .502",
            "SuperGlue": ".676 .678",
            "SiLK": ".685 .684",
            "LoFTR": ".735 .721",
        },
    ),
}
"""By the key that a protocol names in `published`."""

"""Files of deep-image-matching 1.2 (`features.h5`, `matches.h5`), written and read.

features.h5: a group per image, named by the file name alone; `keypoints` (N, 2), `descriptors`
(D, N), `scores` (N,), `tile_idx` (N,) and `image_size` = (height, width), the other way round than
hloc, all in one dtype. That is float16 by default, which rounds keypoints and image sizes beyond
2048 px to 2 px; we write float32. matches.h5: group name0, dataset name1, (M, 2) int64.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures, Matches
from silk_sfm.files import whole_file
from silk_sfm.store.descriptors import to_rows
from silk_sfm.store.features import FeatureStore
from silk_sfm.store.matches import MatchStore, Pair

log = logging.getLogger(__name__)

LARGEST_EXACT = 2048
"""Up to here float16 has every integer."""


def write_dim_features(features: FeatureStore, path: Path) -> None:
    """Write a features.h5. Raises StoreError when two images have the same file name."""
    files = dim_names(features.names)
    with whole_file(path) as part, h5py.File(part, "w") as file:
        for name in features.names:
            _write_image(file.create_group(files[name]), features[name])


def write_dim_matches(matches: MatchStore, names: Iterable[str], path: Path) -> int:
    """Write a matches.h5 of the pairs among `names` that have matches; returns how many.

    Raises StoreError when two images have the same file name.
    """
    files = dim_names(names)
    n_written = 0
    with whole_file(path) as part, h5py.File(part, "w") as file:
        for a, b in matches.pairs(list(files)):
            indices = matches[a, b].indices
            if len(indices) > 0:
                file.require_group(files[a]).create_dataset(files[b], data=indices.astype(np.int64))
                n_written += 1
    return n_written


def dim_names(names: Iterable[str]) -> dict[str, str]:
    """The file name of each image. Raises StoreError when two have the same one."""
    owner: dict[str, str] = {}
    for name in names:
        file_name = PurePosixPath(name).name
        other = owner.setdefault(file_name, name)
        if other != name:
            raise StoreError(
                f"`{other}` and `{name}` would share one group: deep-image-matching knows images "
                "by their file names alone. Rename one."
            )
    return {name: file_name for file_name, name in owner.items()}


def read_dim_features(path: Path) -> Iterator[tuple[str, LocalFeatures]]:
    """File names and features, sorted by name; descriptors are brought to length 1.

    Raises StoreError when the file is missing, damaged or another one.
    """
    with _opened(path) as file:
        for name in sorted(file):
            group = file[name]
            if not isinstance(group, h5py.Group) or "keypoints" not in group:
                raise StoreError(
                    f"{path} is no features.h5 of deep-image-matching: `{name}` has no keypoints."
                )
            _warn_of_rounding(path, name, group)
            yield name, _read_image(group)


def read_dim_matches(path: Path) -> Iterator[tuple[Pair, Matches]]:
    """Pairs of file names and their matches, sorted by the keypoint of the first image; score 1.

    Of several matches of one keypoint of the first image only the first one stays.

    Raises StoreError when the file is missing, damaged or another one.
    """
    with _opened(path) as file:
        for first in file:
            if not isinstance(file[first], h5py.Group):
                raise StoreError(f"{path} is no matches.h5 of deep-image-matching: `{first}`.")
            for second in file[first]:
                indices = file[first][second][()].astype(np.int32).reshape(-1, 2)
                n_stored = len(indices)
                indices = indices[np.unique(indices[:, 0], return_index=True)[1]]
                if len(indices) < n_stored:
                    _warn_of_doubles(path, (first, second), n_stored - len(indices))
                yield (first, second), Matches(indices, np.ones(len(indices), np.float32))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 32 hexadecimal digits. Raises StoreError when it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise StoreError(_missing(path)) from error


def _write_image(group: h5py.Group, features: LocalFeatures) -> None:
    width, height = features.image_size
    arrays = {
        "keypoints": features.keypoints,
        "descriptors": features.descriptors.T,
        "scores": features.scores,
        "tile_idx": np.zeros(len(features)),
        "image_size": np.array([height, width]),
    }
    for name, values in arrays.items():
        small = {"compression": "gzip"} if values.size else {}
        group.create_dataset(name, data=values.astype(np.float32), **small)


def _read_image(group: h5py.Group) -> LocalFeatures:
    keypoints = group["keypoints"][()].astype(np.float32)[:, :2]
    descriptors = to_rows(group["descriptors"][()])
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    scores = group["scores"][()] if "scores" in group else np.zeros(len(keypoints))
    height, width = group["image_size"][()]
    return LocalFeatures(
        keypoints=keypoints,
        scores=scores.astype(np.float32).reshape(-1),
        descriptors=descriptors / np.maximum(lengths, 1e-12),
        image_size=(int(width), int(height)),
    )


def _warn_of_rounding(path: Path, name: str, group: h5py.Group) -> None:
    size = group["image_size"]
    if size.dtype == np.float16 and size[()].max() > LARGEST_EXACT:
        log.warning(
            "%s: `%s` is stored as float16; its size and keypoints are rounded to 2 px.", path, name
        )


def _warn_of_doubles(path: Path, pair: Pair, count: int) -> None:
    log.warning(
        "%s: `%s` and `%s`: %d matches left out, of keypoints that have one already.",
        path,
        *pair,
        count,
    )


def _missing(path: Path) -> str:
    return f"No file {path}. Give a file of deep-image-matching."


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Turn what h5py and numpy raise for a wrong or damaged file into our error."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise StoreError(_missing(path)) from None
    except (OSError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged or no file of deep-image-matching: {error}."
        ) from error

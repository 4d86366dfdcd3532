"""One vector for each image, as place-recognition networks make them: hloc's files and .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.store.arrays import has_link, open_group, read_array
from silk_sfm.store.hdf5 import LinkedFile

DATASET = "global_descriptor"


def read_global_descriptors(path: Path, names: Sequence[str]) -> np.ndarray:
    """(N, D) float32 vectors of the images `names`, in their order.

    path: `global-feats-*.h5` as hloc writes it, a group per image with `global_descriptor` (D,); or
        .npz with `names` (M,) text and `descriptors` (M, D)

    Raises StoreError when the file cannot be read, lacks images, or holds vectors of different
    lengths or without a direction (all zero, infinite).
    """
    if not path.is_file():
        raise StoreError(f"No file {path} with global descriptors.")
    vectors = _from_npz(path) if path.suffix == ".npz" else _from_h5(path, names)
    missing = [name for name in names if name not in vectors]
    if missing:
        raise StoreError(
            f"{path} has no global descriptor of {len(missing)} of {len(names)} images, first "
            f"`{missing[0]}`. Describe them too; names are relative to the image folder."
        )
    sizes = {vectors[name].shape for name in names}
    if len(sizes) > 1 or any(len(shape) != 1 for shape in sizes):
        raise StoreError(f"{path}: global descriptors have different shapes: {sorted(sizes)}.")
    stacked = np.stack([vectors[name] for name in names])
    lengths = np.linalg.norm(stacked, axis=1)
    bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
    if len(bad):
        raise StoreError(
            f"{path}: the global descriptor of `{names[bad[0]]}` has no direction (all zero, or "
            "not finite). Describe the images anew."
        )
    return stacked


def _from_h5(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    linked, vectors = LinkedFile(path), dict[str, np.ndarray]()
    try:
        for name in names:
            if _has_path(linked, name):
                group = open_group(linked.root, name)
                if has_link(group, DATASET):
                    vectors[name] = np.asarray(read_array(group, DATASET), np.float32)
    except (KeyError, ValueError, OSError, RuntimeError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error
    finally:
        linked.close()
    return vectors


def _has_path(linked: LinkedFile, name: str) -> bool:
    """Is there a group `name`, with all groups above it?"""
    parts = name.split("/")
    above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return all(has_link(linked.root, path) for path in above)


def _from_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = file["names"].astype(str)
            descriptors = file["descriptors"].astype(np.float32, copy=False)
            if (names.ndim, descriptors.ndim) != (1, 2):
                raise ValueError(f"they are {names.shape} and {descriptors.shape}")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"{path} is no .npz with `names` (M,) and `descriptors` (M, D): {error}."
        ) from error
    if len(names) != len(descriptors):
        raise StoreError(f"{path}: {len(names)} names for {len(descriptors)} descriptors.")
    return dict(zip(map(str, names), descriptors, strict=True))

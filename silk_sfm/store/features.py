"""Features of many images in one file, in hloc's layout.

A group per image, named by the image's path relative to its folder, with `keypoints` (N, 2) float32
and its attribute `uncertainty`, `descriptors` (D, N) float16 or float32, `scores` (N,) float32 and
`image_size` (2,) = (width, height); `scales` (N,) pixels and `oris` (N,) degrees, float32, where
the extractor gives them; `descriptors_90`, `_180`, `_270` like `descriptors` where the image was
also described turned by as many degrees. hloc reads it unmodified.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from h5py import h5d, h5g

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures
from silk_sfm.store.arrays import (
    FLOAT32,
    FLOAT64,
    INT64,
    add_external_link,
    add_group,
    has_attribute,
    has_link,
    is_dataset,
    is_external,
    links_called,
    member_names,
    open_group,
    read_array,
    read_attribute,
    read_dataset,
    write_array,
    write_attribute,
)
from silk_sfm.store.descriptors import to_columns, to_rows
from silk_sfm.store.hdf5 import Closing, LinkedFile
from silk_sfm.store.pieces import Piece
from silk_sfm.store.provenance import Provenance, store_digest
from silk_sfm.store.shards import ShardWriter

Precision = Literal["float16", "float32"]
TURNED = ("descriptors_90", "descriptors_180", "descriptors_270")


class FeatureStore(Closing):
    """Reads features, from our own stores and from those of hloc."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError when the file is missing, damaged or holds no features."""
        self.path = path
        self._linked = LinkedFile(path)
        self.provenance = Provenance.read(self._linked.file, path)
        self.names = sorted(feature_keys(self._linked.root))
        self._known = frozenset(self.names)
        if not self.names and self.provenance is None:
            self.close()
            raise StoreError(f"{path} holds no features (no group with `keypoints`).")

    def close(self) -> None:
        """Close the file."""
        self._linked.close()

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> LocalFeatures:
        """The features of an image. Raises StoreError when it has none or they are damaged."""
        group = self._group(name)
        with self._damage_named(name):
            keypoints = h5d.open(group, b"keypoints")
            xy = _positions(keypoints)
            scores = _optional(group, "scores")
            return LocalFeatures(
                keypoints=xy,
                scores=np.zeros(len(xy), np.float32) if scores is None else scores,
                descriptors=to_rows(read_array(group, "descriptors")),
                image_size=_image_size(group),
                uncertainty=_uncertainty(keypoints),
                scales=_optional(group, "scales"),
                orientations=_optional(group, "oris"),
                method=self.provenance.plugin if self.provenance else "",
                turned=_turned(group),
            )

    def positions(self, name: str) -> tuple[np.ndarray, float]:
        """(N, 2) float32 keypoints of an image and their uncertainty, without its descriptors."""
        group = self._group(name)
        with self._damage_named(name):
            keypoints = h5d.open(group, b"keypoints")
            return _positions(keypoints), _uncertainty(keypoints)

    def keypoints(self, name: str) -> np.ndarray:
        """(N, 2) float32 keypoints of an image, without reading its descriptors."""
        return self.positions(name)[0]

    def image_size(self, name: str) -> tuple[int, int]:
        """(width, height) of an image."""
        group = self._group(name)
        with self._damage_named(name):
            return _image_size(group)

    def count(self, name: str) -> int:
        """How many keypoints an image has."""
        return int(h5d.open(self._group(name), b"keypoints").shape[0])

    @property
    def descriptor_size(self) -> int:
        """Dimensions of a descriptor; 0 in an empty store."""
        if not self.names:
            return 0
        return int(h5d.open(self._group(self.names[0]), b"descriptors").shape[0])

    @property
    def has_turns(self) -> bool:
        """Whether images were also described turned."""
        return bool(self.names) and has_link(self._group(self.names[0]), TURNED[0])

    @property
    def digest(self) -> str:
        """Names these features for the stores made from them; see `store_digest`."""
        return store_digest(self._linked.file, self.path)

    @contextmanager
    def _damage_named(self, name: str) -> Iterator[None]:
        """Turn what h5py and numpy raise for odd data into a StoreError that names the image."""
        try:
            yield
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise StoreError(f"{self.path}: features of `{name}` are damaged: {error}.") from error

    def _group(self, name: str) -> h5g.GroupID:
        if name not in self._known:
            raise StoreError(f"{self.path} holds no features of `{name}`. Run `silk-sfm extract`.")
        return self._linked.group(name, member="keypoints")


@dataclass(frozen=True, eq=False)
class IndexedImage:
    """What the index tells of an image. image_size: (2,) int64; members: its other datasets."""

    image_size: np.ndarray
    members: tuple[str, ...]


class FeatureWriter(ShardWriter[LocalFeatures, IndexedImage]):
    """Adds features to a store; the key is the image name."""

    def __init__(
        self,
        path: Path,
        provenance: Provenance,
        overwrite: bool = False,
        precision: Precision = "float16",
        piece: Piece | None = None,
    ) -> None:
        """`precision` of the descriptors; keypoints are always float32. Errors: `ShardWriter`."""
        self._descriptor_dtype = np.dtype(precision)
        super().__init__(path, provenance, overwrite, piece)

    def _fill(self, group: h5g.GroupID, value: LocalFeatures) -> IndexedImage:
        keypoints = write_array(group, "keypoints", value.keypoints)
        write_attribute(keypoints, "uncertainty", np.array(value.uncertainty, np.float32))
        write_array(group, "descriptors", to_columns(value.descriptors, self._descriptor_dtype))
        optional = {"scales": value.scales, "oris": value.orientations}
        if value.turned is not None:
            turned = [to_columns(each, self._descriptor_dtype) for each in value.turned]
            optional |= dict(zip(TURNED, turned, strict=True))
        given = {name: array for name, array in optional.items() if array is not None}
        for name, array in {"scores": value.scores, **given}.items():
            write_array(group, name, array)
        size = np.array(value.image_size, np.int64)
        write_array(group, "image_size", size)
        return IndexedImage(size, ("descriptors", "keypoints", "scores", *given))

    def _read_entry(self, root: h5g.GroupID, key: str) -> IndexedImage:
        group = open_group(root, key)
        members = [name for name in member_names(group) if name != "image_size"]
        return IndexedImage(read_array(group, "image_size", INT64), tuple(members))

    def _link(self, index: h5g.GroupID, key: str, shard: str, entry: IndexedImage) -> None:
        """A real group with the real `image_size`: hloc lists images by walking over datasets."""

        def fill(group: h5g.GroupID) -> None:
            write_array(group, "image_size", entry.image_size)
            for name in entry.members:
                add_external_link(group, name, shard, f"/{key}/{name}")

        add_group(index, key, fill)

    def _is_linked(self, index: h5g.GroupID, key: str) -> bool:
        return is_external(index, f"{key}/keypoints")

    def _keys(self, root: h5g.GroupID) -> Iterator[str]:
        return feature_keys(root)


def _positions(keypoints: h5d.DatasetID) -> np.ndarray:
    return np.ascontiguousarray(read_dataset(keypoints, FLOAT32)[:, :2])


def _uncertainty(keypoints: h5d.DatasetID) -> float:
    if not has_attribute(keypoints, "uncertainty"):
        return 1.0
    return float(read_attribute(keypoints, "uncertainty", FLOAT64))


def _image_size(group: h5g.GroupID) -> tuple[int, int]:
    """(width, height). Raises ValueError when there is none."""
    if not has_link(group, "image_size"):
        raise ValueError("no `image_size`")
    width, height = read_array(group, "image_size", INT64)
    return int(width), int(height)


def _optional(group: h5g.GroupID, name: str) -> np.ndarray | None:
    return read_array(group, name, FLOAT32) if has_link(group, name) else None


def _turned(group: h5g.GroupID) -> np.ndarray | None:
    """(3, N, D) float32 descriptors of the turned image, where the store has them."""
    if not has_link(group, TURNED[0]):
        return None
    return np.stack([to_rows(read_array(group, name)) for name in TURNED])


def feature_keys(root: h5g.GroupID) -> Iterator[str]:
    """Paths of all groups that hold keypoints, themselves or by a link to another file.

    A group `keypoints` instead of a dataset is a folder of images with that name.
    """
    found = {
        path.removesuffix("/keypoints")
        for path, is_external in links_called(root, "keypoints")
        if "/" in path and (is_external or is_dataset(root, path))
    }
    folders = {key.rpartition("/")[0] for key in found}
    inside = {folder for folder in folders if _parts(folder) & found}
    yield from sorted(key for key in found if key.rpartition("/")[0] not in inside)


def _parts(folder: str) -> set[str]:
    """A folder and all folders above it."""
    return {folder, *(str(parent) for parent in PurePosixPath(folder).parents)}

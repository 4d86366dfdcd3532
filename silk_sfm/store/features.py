"""Features of many images in one file, in hloc's layout.

A group per image, named by the image's path relative to its folder, with `keypoints` (N, 2) float32
and its attribute `uncertainty`, `descriptors` (D, N) float16 or float32, `scores` (N,) float32 and
`image_size` (2,) = (width, height). hloc reads it unmodified.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from silk_sfm.errors import StoreError
from silk_sfm.features import LocalFeatures
from silk_sfm.store.hdf5 import Closing, LinkedFile
from silk_sfm.store.provenance import Provenance, store_digest
from silk_sfm.store.shards import ShardWriter

Precision = Literal["float16", "float32"]


class FeatureStore(Closing):
    """Reads features, from our own stores and from those of hloc."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError when the file is missing, damaged or holds no features."""
        self.path = path
        self._linked = LinkedFile(path)
        self.provenance = Provenance.read(self._linked.file, path)
        self.names = sorted(feature_keys(self._linked.file))
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
        try:
            keypoints = group["keypoints"][()]
            descriptors = group["descriptors"][()].T
            scores = group["scores"][()] if "scores" in group else np.zeros(len(keypoints))
            return LocalFeatures(
                keypoints=keypoints[:, :2].astype(np.float32),
                scores=scores.astype(np.float32),
                descriptors=np.ascontiguousarray(descriptors, np.float32),
                image_size=self.image_size(name),
                uncertainty=self.uncertainty(name),
            )
        except (KeyError, ValueError, OSError) as error:
            raise StoreError(f"{self.path}: features of `{name}` are damaged: {error}.") from error

    def keypoints(self, name: str) -> np.ndarray:
        """(N, 2) float32 keypoints of an image, without reading its descriptors."""
        return np.asarray(self._group(name)["keypoints"][()][:, :2], np.float32)

    def image_size(self, name: str) -> tuple[int, int]:
        """(width, height) of an image."""
        group = self._group(name)
        if "image_size" not in group:
            raise StoreError(f"{self.path}: features of `{name}` are damaged: no `image_size`.")
        width, height = group["image_size"][()]
        return int(width), int(height)

    def uncertainty(self, name: str) -> float:
        """Standard deviation of an image's keypoints in its pixels."""
        return float(self._group(name)["keypoints"].attrs.get("uncertainty", 1.0))

    def count(self, name: str) -> int:
        """How many keypoints an image has."""
        return int(self._group(name)["keypoints"].shape[0])

    @property
    def descriptor_size(self) -> int:
        """Dimensions of a descriptor; 0 in an empty store."""
        return int(self._group(self.names[0])["descriptors"].shape[0]) if self.names else 0

    @property
    def digest(self) -> str:
        """Names these features for the stores made from them; see `store_digest`."""
        return store_digest(self._linked.file, self.path)

    def _group(self, name: str) -> h5py.Group:
        if name not in self._known:
            raise StoreError(f"{self.path} holds no features of `{name}`. Run `silk-sfm extract`.")
        return self._linked.group(name, member="keypoints")


class FeatureWriter(ShardWriter[LocalFeatures]):
    """Adds features to a store; the key is the image name."""

    def __init__(
        self,
        path: Path,
        provenance: Provenance,
        overwrite: bool = False,
        precision: Precision = "float16",
    ) -> None:
        """`precision` of the descriptors; keypoints are always float32. Errors: `ShardWriter`."""
        self._descriptor_dtype = np.dtype(precision)
        super().__init__(path, provenance, overwrite)

    def _fill(self, file: h5py.File, key: str, value: LocalFeatures) -> None:
        group = file.create_group(key)
        keypoints = group.create_dataset("keypoints", data=value.keypoints)
        keypoints.attrs["uncertainty"] = np.float32(value.uncertainty)
        descriptors = np.ascontiguousarray(value.descriptors.T, self._descriptor_dtype)
        group.create_dataset("descriptors", data=descriptors)  # (D, N) as hloc has it
        group.create_dataset("scores", data=value.scores)
        group.create_dataset("image_size", data=np.array(value.image_size, np.int64))

    def _link(self, index: h5py.File, key: str, shard: str, source: h5py.File) -> None:
        """A real group with the real `image_size`: hloc lists images by walking over datasets."""
        group = index.create_group(key)
        group.create_dataset("image_size", data=source[key]["image_size"][()])
        for name in source[key]:
            if name != "image_size":
                group[name] = h5py.ExternalLink(shard, f"/{key}/{name}")

    def _keys(self, file: h5py.File) -> Iterator[str]:
        return feature_keys(file)


def feature_keys(group: h5py.Group, prefix: str = "") -> Iterator[str]:
    """Paths of all groups at or below `group` that hold `keypoints`."""
    for name in group:
        if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
            continue
        member = group[name]
        if not isinstance(member, h5py.Group):
            continue
        if _has_keypoints(member):
            yield prefix + name
        else:
            yield from feature_keys(member, f"{prefix}{name}/")


def _has_keypoints(group: h5py.Group) -> bool:
    """A group `keypoints` instead of a dataset is a folder of images with that name."""
    if isinstance(group.get("keypoints", getlink=True), h5py.ExternalLink):
        return True
    return group.get("keypoints", getclass=True) is h5py.Dataset

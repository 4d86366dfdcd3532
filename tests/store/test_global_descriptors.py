from pathlib import Path

import h5py
import numpy as np
import pytest

from silk_sfm.errors import StoreError
from silk_sfm.store import read_global_descriptors

NAMES = ["a.jpg", "day 1/b.jpg"]
VECTORS = np.array([[1.0, 2, 3], [4, 5, 6]], np.float32)


def write_as_hloc(path: Path, vectors: dict[str, np.ndarray]) -> Path:
    """hloc's extract_features: a group per image, the vector and the image size in it."""
    with h5py.File(path, "w") as file:
        for name, vector in vectors.items():
            group = file.create_group(name)
            group.create_dataset("global_descriptor", data=vector)
            group.create_dataset("image_size", data=np.array([640, 480]))
    return path


def write_npz(path: Path, names: list[str], vectors: np.ndarray) -> Path:
    np.savez(path, names=np.array(names), descriptors=vectors)
    return path


def test_both_kinds_in_the_order_asked_for(tmp_path: Path) -> None:
    h5 = write_as_hloc(
        tmp_path / "global-feats.h5",
        {"day 1/b.jpg": VECTORS[1].astype(np.float16), "x.jpg": VECTORS[0], "a.jpg": VECTORS[0]},
    )
    npz = write_npz(tmp_path / "v.npz", NAMES[::-1], VECTORS[::-1])
    for path in (h5, npz):
        found = read_global_descriptors(path, NAMES)
        np.testing.assert_array_equal(found, VECTORS)
        assert found.dtype == np.float32


def test_missing_images(tmp_path: Path) -> None:
    h5 = write_as_hloc(tmp_path / "g.h5", {"a.jpg": VECTORS[0]})
    npz = write_npz(tmp_path / "g.npz", ["a.jpg"], VECTORS[:1])
    for path in (h5, npz):
        with pytest.raises(StoreError) as caught:
            read_global_descriptors(path, [*NAMES, "day 1/c/d.jpg"])
        assert str(caught.value) == (
            f"{path} has no global descriptor of 2 of 3 images, first `day 1/b.jpg`. Describe them "
            "too; names are relative to the image folder."
        )


def test_vectors_of_no_use(tmp_path: Path) -> None:
    uneven = write_as_hloc(tmp_path / "g.h5", {"a.jpg": np.ones(3), NAMES[1]: np.ones(4)})
    with pytest.raises(StoreError, match=r"have different shapes: \[\(3,\), \(4,\)\]\.$"):
        read_global_descriptors(uneven, NAMES)
    for bad in (0.0, np.nan, np.inf):
        path = write_npz(tmp_path / "v.npz", NAMES, np.array([[1.0, 1], [bad, bad]]))
        with pytest.raises(StoreError, match=r"of `day 1/b\.jpg` has no direction"):
            read_global_descriptors(path, NAMES)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^No file .*none\.h5 with global descriptors\.$"):
        read_global_descriptors(tmp_path / "none.h5", NAMES)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(StoreError, match="is damaged or no HDF5 file"):
        read_global_descriptors(tmp_path / "text.h5", NAMES)
    np.save(tmp_path / "array.npy", VECTORS)
    array = (tmp_path / "array.npy").read_bytes()
    contents = {"empty": b"", "text": b"text", "zip": b"PK\x03\x04", "array": array}
    for name, content in ((f"{kind}.npz", content) for kind, content in contents.items()):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StoreError, match=r"is no \.npz with `names` \(M,\) and"):
            read_global_descriptors(tmp_path / name, NAMES)
    for index, (names, descriptors) in enumerate(
        ((NAMES[0], VECTORS), (NAMES, np.float32(3)), (NAMES, [["x"], ["y"]]))
    ):
        np.savez(tmp_path / f"{index}.npz", names=np.array(names), descriptors=descriptors)
        with pytest.raises(StoreError, match=r"is no \.npz with `names` \(M,\) and"):
            read_global_descriptors(tmp_path / f"{index}.npz", NAMES)
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["day 1"] = VECTORS
    with pytest.raises(StoreError, match=r"flat\.h5 is damaged: "):
        read_global_descriptors(tmp_path / "flat.h5", ["day 1/b.jpg"])
    np.savez(tmp_path / "other.npz", descriptors=VECTORS)
    with pytest.raises(StoreError, match=r"is no \.npz with `names`"):
        read_global_descriptors(tmp_path / "other.npz", NAMES)
    with pytest.raises(StoreError, match=r"1 names for 2 descriptors\.$"):
        read_global_descriptors(write_npz(tmp_path / "v.npz", ["a.jpg"], VECTORS), NAMES)

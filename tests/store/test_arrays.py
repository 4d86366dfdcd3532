"""The low-level interface writes what h5py's own interface reads, and the other way round."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silk_sfm.store import arrays
from silk_sfm.store.hdf5 import bytes_of, file_in_memory

NAME = "sub folder/ü b.jpg"
ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(3, 2),
    np.linspace(-1, 1, 24).astype(np.float16).reshape(4, 6),
    np.array([640, 480], np.int64),
    np.zeros((0, 2), np.float32),
    np.zeros((128, 0), np.float16),
]


@pytest.mark.parametrize("array", ARRAYS)
def test_arrays_are_read_by_h5py_and_by_us(array: np.ndarray) -> None:
    with file_in_memory() as file:
        arrays.add_group(file.id, NAME, lambda group: arrays.write_array(group, "it", array))
        by_h5py = file[NAME]["it"][()]
        by_us = arrays.read_array(arrays.open_group(file.id, NAME), "it")
    for read in (by_h5py, by_us):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("stored", ["<i2", "<i8", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("wanted", ["int32", "float32", "float64"])
def test_numbers_are_read_in_the_dtype_asked_for(stored: str, wanted: str) -> None:
    array = np.array([[-1, 0, 300], [7, 8, 9]], stored)
    with file_in_memory() as file:
        file["it"] = array
        file.attrs["number"] = array[0, 2]
        read = arrays.read_array(file.id, "it", np.dtype(wanted))
        number = arrays.read_attribute(file.id, "number", np.dtype(wanted))
    assert (read.dtype, number.dtype, number.shape) == (wanted, wanted, ())
    np.testing.assert_array_equal(read, array)
    assert number == 300


def test_halves_of_hloc_are_read_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    with file_in_memory() as file:
        file["it"] = halves
        read = arrays.read_array(file.id, "it", np.dtype(np.float32))
    np.testing.assert_array_equal(read, halves.astype(np.float32))


def test_texts_are_read_as_they_are_and_are_no_numbers() -> None:
    with file_in_memory() as file:
        file["it"] = ["a", "größe"]
        assert arrays.read_array(file.id, "it").tolist() == [b"a", "größe".encode()]
        with pytest.raises(TypeError):
            arrays.read_array(file.id, "it", np.dtype(np.float32))


@pytest.mark.parametrize("n_bytes", [0, 1, arrays.HEADER_BYTES, arrays.HEADER_BYTES + 1])
def test_small_arrays_lie_in_the_header(n_bytes: int) -> None:
    array = np.arange(n_bytes, dtype=np.uint8)
    with file_in_memory() as file:
        arrays.write_array(file.id, "it", array)
        in_header = file["it"].id.get_create_plist().get_layout() == h5py.h5d.COMPACT
        assert in_header == (n_bytes <= arrays.HEADER_BYTES)
        np.testing.assert_array_equal(file["it"][()], array)


def test_links_tell_where_they_lead() -> None:
    with file_in_memory() as file:
        file.create_group("a")
        file["soft"] = h5py.SoftLink("/a")
        arrays.add_external_link(file.id, "out", "other.h5", "/b/c")
        assert arrays.external_target(file.id, "out") == ("other.h5", "/b/c")
        for path in ("a", "soft", "none", "none/x"):
            assert arrays.external_target(file.id, path) is None


@given(st.lists(st.integers(-1, 2**31 - 1), max_size=300), st.sampled_from(["int32", "int64"]))
def test_compressed_arrays_are_plain_gzip(numbers: list[int], dtype: str) -> None:
    array = np.array(numbers, dtype)
    with file_in_memory() as file:
        arrays.write_compressed(file.id, "it", array)
        dataset = file["it"]
        if numbers:
            assert (dataset.compression, dataset.shuffle) == ("gzip", True)
        np.testing.assert_array_equal(dataset[()], array)
        np.testing.assert_array_equal(arrays.read_array(file.id, "it"), array)


def test_mostly_equal_numbers_become_small() -> None:
    array = np.full(8000, -1, np.int32)
    array[::100] = np.arange(80)
    with file_in_memory() as file:
        arrays.write_compressed(file.id, "it", array)
        assert file["it"].id.get_storage_size() < 0.05 * array.nbytes


def test_attributes() -> None:
    with file_in_memory() as file:
        arrays.write_attribute(file.id, "kind", "größe")
        arrays.write_attribute(file.id, "matrix", np.eye(3))
        arrays.write_attribute(file.id, "count", np.array(7, np.int64))
        file.attrs["by h5py"] = "text"
        assert file.attrs["kind"] == "größe"
        assert file.attrs["count"] == 7
        np.testing.assert_array_equal(file.attrs["matrix"], np.eye(3))
        assert arrays.read_text(file.id, "kind") == "größe"
        assert arrays.read_text(file.id, "by h5py") == "text"
        assert int(arrays.read_attribute(file.id, "count")) == 7
        np.testing.assert_array_equal(arrays.read_attribute(file.id, "matrix"), np.eye(3))
        assert arrays.has_attribute(file.id, "kind")
        assert not arrays.has_attribute(file.id, "other")


def test_a_group_that_was_not_filled_is_not_there() -> None:
    def fill_half(group: object) -> None:
        arrays.write_array(group, "first", np.zeros(3))
        raise KeyboardInterrupt

    with file_in_memory() as file:
        with pytest.raises(KeyboardInterrupt):
            arrays.add_group(file.id, "a/b.jpg", fill_half)
        assert list(file["a"]) == []
        arrays.add_group(file.id, "a/b.jpg", lambda _: None)  # and can be made again
        assert list(file["a"]) == ["b.jpg"]


def test_links(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "ß.h5", "w") as file:
        file["inner/it"] = np.arange(3)
    with h5py.File(tmp_path / "index.h5", "w") as index:
        arrays.add_external_link(arrays.require_group(index.id, "a/b"), "lü", "ß.h5", "/inner")
        assert arrays.external_target(index.id, "a/b/lü") == ("ß.h5", "/inner")
        assert arrays.external_target(index.id, "a/b") is None
        assert arrays.external_target(index.id, "a/x/y") is None
        assert arrays.is_group(index.id, "a")
        assert not arrays.is_dataset(index.id, "a")
        assert arrays.member_names(arrays.open_group(index.id, "a/b")) == ["lü"]
        index["lü"] = 1
        assert arrays.links_called(index.id, "lü") == [("a/b/lü", True), ("lü", False)]
        np.testing.assert_array_equal(index["a/b/lü/it"][()], [0, 1, 2])


def test_no_group() -> None:
    with file_in_memory() as file:
        file["array"] = 1
        for key in ("nothing", "array"):
            with pytest.raises(KeyError):
                arrays.open_group(file.id, key)


def test_equal_contents_give_equal_bytes() -> None:
    contents = []
    for _ in range(2):
        with file_in_memory() as file:
            arrays.add_group(file.id, NAME, lambda g: arrays.write_array(g, "it", np.arange(9)))
            contents.append(bytes_of(file))
    assert contents[0] == contents[1]

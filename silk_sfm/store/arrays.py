"""Groups, arrays and attributes by h5py's low-level interface.

Stores hold many small arrays; here each costs a third of what h5py's dictionaries of objects cost.
The files are the same: every HDF5 reader opens them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeVar

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5p, h5s, h5t

DEFLATE_LEVEL = 1
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)
HEADER_BYTES = 64
"""Arrays of at most this size lie in the header of their dataset: one place less to look for."""
T = TypeVar("T")


def add_group(root: h5g.GroupID, key: str, fill: Callable[[h5g.GroupID], T]) -> T:
    """Add the group `key` and what `fill` writes to it; returns what `fill` returns.

    The group gets its name when it is full: an error or Ctrl-C in between leaves none.
    """
    above, _, name = key.rpartition("/")
    parent = require_group(root, above)
    group = h5g.create(parent, None, gcpl=_without_times(h5p.GROUP_CREATE))
    filled = fill(group)
    h5o.link(group, parent, name.encode(), lcpl=_utf8())
    return filled


def require_group(root: h5g.GroupID, key: str) -> h5g.GroupID:
    """The group `key` below `root`, made if it is not there; `root` itself for an empty key."""
    group = root
    for name in key.split("/") if key else ():
        made = name.encode()
        if not group.links.exists(made):
            h5g.create(group, made, lcpl=_utf8(), gcpl=_without_times(h5p.GROUP_CREATE))
        group = h5g.open(group, made)
    return group


def add_external_link(group: h5g.GroupID, name: str, file: str, path: str) -> None:
    """Make `name` lead to the object `path` of another file."""
    group.links.create_external(name.encode(), file.encode(), path.encode(), lcpl=_utf8())


def external_target(group: h5g.GroupID, path: str) -> tuple[str, str] | None:
    """File and path that an external link leads to; None when it is another link or none."""
    try:
        value = group.links.get_val(path.encode())
    except (RuntimeError, TypeError):  # what h5py raises without such a link, and for a real member
        return None
    if isinstance(value, bytes):  # a link to somewhere in the same file
        return None
    file, target = value
    return file.decode(), target.decode()


def is_external(group: h5g.GroupID, path: str) -> bool:
    """Is there a link `path`, and does it lead to another file?"""
    return external_target(group, path) is not None


def open_group(root: h5g.GroupID, key: str) -> h5g.GroupID:
    """The group `key`. Raises KeyError when there is none."""
    try:
        return h5g.open(root, key.encode())
    except ValueError as error:
        raise KeyError(f"`{key}` is no group") from error


def has_link(group: h5g.GroupID, name: str) -> bool:
    """Is there something called `name`, or a link with this name to somewhere?"""
    return bool(group.links.exists(name.encode()))


def is_group(root: h5g.GroupID, name: str) -> bool:
    """Does `name` lead to a group of this file?"""
    return _leads_to(root, name, h5o.TYPE_GROUP)


def is_dataset(root: h5g.GroupID, name: str) -> bool:
    """Does `name` lead to a dataset of this file?"""
    return _leads_to(root, name, h5o.TYPE_DATASET)


def _leads_to(root: h5g.GroupID, name: str, kind: int) -> bool:
    inside = root.links.get_info(name.encode()).type == h5l.TYPE_HARD
    return bool(inside and h5o.get_info(root, name.encode()).type == kind)


def member_names(group: h5g.GroupID) -> list[str]:
    """Names of all links in a group, sorted."""
    names: list[bytes] = []
    group.links.iterate(names.append)
    return [name.decode() for name in names]


def links_called(root: h5g.GroupID, name: str) -> list[tuple[str, bool]]:
    """Paths of all links called `name`, at any depth, and whether each leads to another file."""
    found: list[tuple[str, bool]] = []
    top, ending = name.encode(), f"/{name}".encode()

    def look(path: bytes, link: h5l.LinkInfo) -> None:
        if path.endswith(ending) or path == top:
            found.append((path.decode(), link.type == h5l.TYPE_EXTERNAL))

    root.links.visit(look, info=True)
    return found


def write_array(group: h5g.GroupID, name: str, array: np.ndarray) -> h5d.DatasetID:
    """Write an array of any shape as it is."""
    properties = _in_header() if array.nbytes <= HEADER_BYTES else _dataset()
    kind, shape = _file_type(array.dtype), array.shape
    dataset = h5d.create(group, name.encode(), kind, _space(shape), properties)
    if array.size:
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), _memory_type(array.dtype))
    return dataset


def write_compressed(group: h5g.GroupID, name: str, array: np.ndarray) -> None:
    """Write a (N,) array of which long runs are equal, with HDF5's shuffle and gzip filters.

    Compressed here, run by run (zlib's Z_RLE): faster and smaller for such arrays than HDF5 does.
    """
    if not array.size:
        write_array(group, name, array)
        return
    kind, shape = _file_type(array.dtype), array.shape
    dataset = h5d.create(group, name.encode(), kind, _space(shape), _deflated_chunks(shape))
    dataset.write_direct_chunk((0,), _deflated(array))


def _deflated(array: np.ndarray) -> bytes:
    """First byte of every number, then all second bytes and so on; deflated."""
    planes = array.view(np.uint8).reshape(-1, array.itemsize).T  # (itemsize, N)
    packer = zlib.compressobj(DEFLATE_LEVEL, strategy=zlib.Z_RLE)
    return packer.compress(planes.tobytes()) + packer.flush()


def read_array(group: h5g.GroupID, name: str, dtype: np.dtype | None = None) -> np.ndarray:
    """Read an array, in `dtype` or its own. Raises KeyError when there is none."""
    return read_dataset(h5d.open(group, name.encode()), dtype)


def read_dataset(dataset: h5d.DatasetID, dtype: np.dtype | None = None) -> np.ndarray:
    """Read all of an open dataset, in `dtype` or its own.

    To find out its own takes as long as reading a small array.
    """
    array = np.empty(dataset.shape, dataset.dtype if dtype is None else dtype)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array, _memory_type(array.dtype))
    return array


def write_attribute(owner: h5g.GroupID | h5d.DatasetID, name: str, value: np.ndarray | str) -> None:
    """Write a text, or an array; one of shape () becomes a number."""
    array = np.array(value, object) if isinstance(value, str) else value
    kind = _text_type() if isinstance(value, str) else _file_type(array.dtype)
    attribute = h5a.create(owner, name.encode(), kind, _space(array.shape))
    attribute.write(array, _memory_type(array.dtype))


def read_attribute(
    owner: h5g.GroupID | h5d.DatasetID, name: str, dtype: np.dtype | None = None
) -> np.ndarray:
    """The array of an attribute, in `dtype` or its own; of shape () for a number.

    Raises KeyError when there is none.
    """
    attribute = h5a.open(owner, name.encode())
    array = np.empty(attribute.shape, attribute.dtype if dtype is None else dtype)
    attribute.read(array, _memory_type(array.dtype))
    return array


def read_text(owner: h5g.GroupID | h5d.DatasetID, name: str) -> str:
    """A text that `write_attribute` or h5py wrote. Raises KeyError when there is none."""
    text: Any = read_attribute(owner, name)[()]
    return text.decode() if isinstance(text, bytes) else str(text)


def has_attribute(owner: h5g.GroupID | h5d.DatasetID, name: str) -> bool:
    """Does the group or dataset have this attribute?"""
    return bool(h5a.exists(owner, name.encode()))


@cache
def _without_times(kind: h5p.PropClassID) -> h5p.PropOCID:
    """Equal contents give equal bytes: objects do not remember when they were made."""
    properties = h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def _dataset() -> h5p.PropDCID:
    return _without_times(h5p.DATASET_CREATE)


@cache
def _in_header() -> h5p.PropOCID:
    properties = _dataset().copy()
    properties.set_layout(h5d.COMPACT)
    return properties


@lru_cache(maxsize=256)
def _deflated_chunks(shape: tuple[int, ...]) -> h5p.PropOCID:
    properties = _dataset().copy()
    properties.set_chunk(shape)
    properties.set_shuffle()
    properties.set_deflate(DEFLATE_LEVEL)
    return properties


@cache
def _utf8() -> h5p.PropLCID:
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_char_encoding(h5t.CSET_UTF8)
    return properties


@lru_cache(maxsize=256)
def _space(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


@cache
def _file_type(dtype: np.dtype) -> h5t.TypeID:
    return h5t.py_create(dtype, logical=True)


def _memory_type(dtype: np.dtype) -> h5t.TypeID | None:
    """Of the numbers of an array. None for texts and other objects: h5py has to look at each."""
    return None if dtype.hasobject else _file_type(dtype)


@cache
def _text_type() -> h5t.TypeID:
    return h5t.py_create(h5py.string_dtype(), logical=True)

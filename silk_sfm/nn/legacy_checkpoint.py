"""PyTorch checkpoints from before version 1.6: pickles and raw numbers one after the other.

Five pickles (a magic number, the protocol, the machine, the object, the keys of its storages), then
each storage as its length and its numbers. Superpoint_v1.pth, R2D2's and KP2D's weights are such
files. As in `checkpoint`, nothing that a pickle names is ever called.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from silk_sfm.errors import WeightsError
from silk_sfm.nn.checkpoint import (
    EXPECTED,
    MAX_PICKLE_BYTES,
    InertUnpickler,
    StorageType,
    check_dictionary,
    refuse,
)

MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""The first pickle: protocol 2, the number 0x1950a86a20f9469cfc6c."""

PROTOCOL = 1001


def read_legacy_checkpoint(path: Path) -> dict[Any, Any]:
    """The dictionary that a checkpoint in the old format holds; tensors are on the CPU.

    Raises WeightsError, one line that names the file, when it is damaged or names code to run.
    """
    try:
        loaded = _read(path)
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        refuse(path, EXPECTED, f"a damaged file ({type(error).__name__}: {error})")
    return check_dictionary(path, loaded)


def _read(path: Path) -> Any:
    content = io.BytesIO(path.read_bytes())
    content.seek(len(MAGIC))
    protocol = InertUnpickler(path, content).load()
    machine = InertUnpickler(path, content).load()
    if protocol != PROTOCOL or machine.get("little_endian") is not True:
        refuse(path, EXPECTED, f"protocol {protocol} of the machine {machine}")
    unpickler = _LegacyUnpickler(path, content)
    loaded = unpickler.load()
    keys = InertUnpickler(path, content).load()
    if content.tell() > MAX_PICKLE_BYTES:
        refuse(path, EXPECTED, f"pickles larger than {MAX_PICKLE_BYTES >> 20} MiB")
    if set(keys) != set(unpickler.storages):
        raise ValueError(f"numbers of {len(keys)} storages, {len(unpickler.storages)} announced")
    for key in keys:
        _fill(content, unpickler.storages[key])
    return loaded


def _fill(content: io.BytesIO, storage: Tensor) -> None:
    """Read the numbers of one storage: its length as int64, then its little-endian values."""
    (length,) = struct.unpack("<q", content.read(8))
    if length != len(storage):
        raise ValueError(f"a storage of {length} numbers where {len(storage)} were announced")
    if length == 0:
        return
    data = bytearray(content.read(length * storage.element_size()))
    storage.copy_(torch.frombuffer(data, dtype=storage.dtype, count=length))


class _LegacyUnpickler(InertUnpickler):
    """Makes storages that are filled later: their numbers come after the pickles."""

    def __init__(self, path: Path, content: io.BytesIO) -> None:
        super().__init__(path, content)
        self._left = len(content.getbuffer())
        self.storages: dict[str, Tensor] = {}

    def persistent_load(self, pid: Any, /) -> Tensor:
        """The storage ("storage", type, key, device, length, view), empty, once for each key."""
        kind, storage_type, key, _, length, *view = pid
        if kind != "storage" or not isinstance(storage_type, StorageType) or any(view):
            refuse(self.path, EXPECTED, f"a reference to {kind!r} of unknown type")
        if key not in self.storages:
            self.storages[key] = self._empty_storage(storage_type.dtype, length)
        return self.storages[key]

    def _empty_storage(self, dtype: torch.dtype, length: int) -> Tensor:
        """Room for numbers that the rest of the file can hold."""
        if not 0 <= length * dtype.itemsize <= self._left:
            refuse(self.path, EXPECTED, f"a storage of {length} numbers in {self._left} bytes")
        self._left -= length * dtype.itemsize
        return torch.zeros(length, dtype=dtype)

"""Arrays and plain containers from pickles and .npz files, without running what the files name."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from silk_sfm.errors import DatasetError

HARMLESS = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype")}
"""What a pickled array is made with; numpy 2 calls its module `_core`, older ones `core`."""


def read_npz(path: Path) -> Mapping[str, Any]:
    """The entries of an .npz file, arrays of objects included, or of a pickled dictionary.

    LoFTR publishes its MegaDepth indices as bare pickles that are named .npz; others wrote the same
    entries with `numpy.savez`. Raises DatasetError when the file is missing, damaged, holds
    anything but arrays, numbers, text and containers, or is no dictionary.
    """
    try:
        with path.open("rb") as file:
            entries = _read_zip(file) if zipfile.is_zipfile(file) else _unpickle(file)
    except FileNotFoundError:
        raise DatasetError(f"No file {path}.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise DatasetError(f"{path} is no .npz file that can be read: {error}.") from error
    if not isinstance(entries, Mapping):
        raise DatasetError(f"{path} holds a {type(entries).__name__}, not named arrays.")
    return entries


class _ArraysOnly(pickle.Unpickler):
    """Refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickle(file: IO[bytes]) -> Any:
    file.seek(0)
    try:
        return _ArraysOnly(file).load()
    except (pickle.UnpicklingError, EOFError):
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise pickle.UnpicklingError(f"damaged ({error})") from error


def _read_zip(file: IO[bytes]) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        return {
            name.removesuffix(".npy"): _read_member(archive, name) for name in archive.namelist()
        }


def _read_member(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = read_header(member)
        if dtype.hasobject:
            return _ArraysOnly(member).load()
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
